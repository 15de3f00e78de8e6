"""The part of the dense path that all plain transformer towers share."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.base import Grid, Tower, as_map


class TransformerTower(Tower):
    """A tower of equal-width blocks over prefix tokens (class, registers) and a grid of patch tokens.

    Dense path (Sec. 3.1; MaskCLIP's value path): all blocks but the last run as usual; in the last block every
    token attends to itself alone, so that queries, keys and the attention itself are never computed, nor the prefix
    tokens; final norm and projection act on every patch.

    Attributes:
        num_prefix: Number of tokens before the patches.
        has_class_token: Whether the first prefix token is a class token.
        dense_residual: 'token' adds the token itself in the last block (CLIPSelf, DenseVLM); 'cls' adds the class
            token instead (CAT-Seg).
        last_block_is_value_path: False for towers whose pooling attention takes the value path instead.
    """

    num_prefix: int
    has_class_token: bool
    dense_residual: str = "token"
    last_block_is_value_path: bool = True

    @abstractmethod
    def embed_tokens(self, images: Tensor) -> tuple[Tensor, Grid, Tensor | None]:
        """Map images to (tokens (B, num_prefix + h * w, C), (h, w), rotary table (h * w, 2 * head width) or None)."""

    @abstractmethod
    def run_block(self, block: nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
        """Run one block as its library defines it."""

    @abstractmethod
    def run_value_block(self, block: nn.Module, tokens: Tensor, residual: Tensor) -> Tensor:
        """Run one block with its attention reduced to the value path.

        Args:
            block: The block.
            tokens: (B, N, C) block input.
            residual: (B, N or 1, C) what the attention branch is added to.

        Returns:
            (B, N, C).
        """

    @abstractmethod
    def pool(self, tokens: Tensor) -> Tensor:
        """Map the last block's output, all tokens, to the global embedding (B, D)."""

    @abstractmethod
    def project(self, patches: Tensor) -> Tensor:
        """Apply final norm and projection to every patch: (B, N, C) to (B, N, D)."""

    def embed_image(self, images: Tensor) -> Tensor:
        """See base class."""
        self.check_size(images)
        tokens, _, rope = self.embed_tokens(images)
        for block in self.groups():
            tokens = self._run(self.run_block, block, tokens, rope)
        return self.pool(tokens)

    def embed_densely(
        self, images: Tensor, out_indices: Sequence[int], with_dense: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """See base class."""
        self.check_size(images)
        last = self.num_blocks - 1
        stop = last if with_dense else max(out_indices)
        tokens, grid, rope = self.embed_tokens(images)
        patches = {}
        for index, block in enumerate(self.groups()[: stop + 1]):
            if index == last and self.last_block_is_value_path:
                residual = tokens[:, :1] if self.dense_residual == "cls" else tokens[:, self.num_prefix :]
                patches[index] = self._run(self.run_value_block, block, tokens[:, self.num_prefix :], residual)
            else:
                tokens = self._run(self.run_block, block, tokens, rope)
                if index in out_indices or index == last:
                    patches[index] = tokens[:, self.num_prefix :]
        maps = [as_map(patches[index], grid) for index in out_indices]
        if not with_dense:
            return maps, None
        return maps, as_map(self.project(patches[last]), grid)


def expand_prefix(prefix: Tensor, patches: Tensor) -> Tensor:
    """Put the same prefix tokens (P, C) before the patches (B, N, C) of every image: (B, P + N, C)."""
    return torch.cat([prefix.to(patches.dtype).expand(patches.shape[0], -1, -1), patches], dim=1)
