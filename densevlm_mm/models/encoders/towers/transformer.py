"""The part of the dense path that all plain transformer towers share."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.base import Grid, Tower, as_map


class TransformerTower(Tower):
    """A tower of equal-width blocks over prefix tokens (class, registers) and a grid of patch tokens.

    Dense path (Sec. 3.1; MaskCLIP's value path): all blocks but the last run as usual; in the last block every
    token attends to itself alone, so that queries, keys and the attention itself are never computed, nor the prefix
    tokens; final norm and projection act on every patch. With ``value_layers`` the path is another one: the sum of that
    many last blocks' attention branches, each as the value path forms it.

    Attributes:
        num_prefix: Number of tokens before the patches.
        has_class_token: Whether the first prefix token is a class token.
        dense_residual: 'token' adds the token itself in the last block (CLIPSelf, DenseVLM); 'cls' adds the class
            token instead (CAT-Seg).
        last_block_is_value_path: False for towers whose pooling attention takes the value path instead.
        value_layers: How many of the last blocks are summed; 0 for the path with residual and MLP.
        value_gate: From a block's normed input to a weight a head; None for none.
        dense_tail: Blocks that stand in the place of as many last ones on the dense path.
    """

    num_prefix: int
    has_class_token: bool
    dense_residual: str = "token"
    last_block_is_value_path: bool = True
    value_layers: int = 0
    value_gate: nn.Linear | None = None
    dense_tail: Sequence[nn.Module] = ()

    @property
    def num_heads(self) -> int:
        """Attention heads of a block."""
        last: Any = self.groups()[-1]
        return last.attn.num_heads

    @abstractmethod
    def embed_tokens(self, images: Tensor) -> tuple[Tensor, Grid, Tensor | None]:
        """Map images to (tokens (B, num_prefix + h * w, C), (h, w), rotary table (h * w, 2 * head width) or None)."""

    @abstractmethod
    def run_block(self, block: nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
        """Run one block as its library defines it."""

    @abstractmethod
    def value_branch(self, block: nn.Module, tokens: Tensor, gate: nn.Linear | None = None) -> Tensor:
        """Run a block's attention branch on the value path, with all that stands between it and the residual.

        Args:
            block: The block.
            tokens: (B, N, C) block input.
            gate: Weighs the heads, see :func:`weigh_heads`.

        Returns:
            (B, N, C), what the block adds to its residual.
        """

    @abstractmethod
    def feed_forward(self, block: nn.Module, tokens: Tensor) -> Tensor:
        """Run a block's MLP branch: what it adds to (B, N, C)."""

    @abstractmethod
    def feed_forward_parameters(self, block: nn.Module) -> set[nn.Parameter]:
        """Return the parameters of a block's MLP branch: norm, MLP, scale."""

    @abstractmethod
    def split_query_key(self, block: nn.Module) -> set[nn.Parameter]:
        """Return what the value path never reads of a block's attention, split from fused projections first."""

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

    def run_value_block(self, block: nn.Module, tokens: Tensor, residual: Tensor) -> Tensor:
        """Run one block with its attention reduced to the value path.

        Args:
            block: The block.
            tokens: (B, N, C) block input.
            residual: (B, N or 1, C) what the attention branch is added to.

        Returns:
            (B, N, C).
        """
        tokens = residual + self.value_branch(block, tokens)
        return tokens + self.feed_forward(block, tokens)

    def split_unused(self) -> set[nn.Parameter]:
        """See base class."""
        last = self.groups()[-1]
        return self.split_query_key(last) | (self.feed_forward_parameters(last) if self.value_layers else set())

    def embed_densely(
        self, images: Tensor, out_indices: Sequence[int], with_dense: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """See base class."""
        self.check_size(images)
        stop = self.num_blocks - 1 if with_dense else max(out_indices)
        tokens, grid, rope = self.embed_tokens(images)
        patches, _ = self._run_densely(tokens, rope, out_indices, stop)
        maps = [as_map(patches[index], grid) for index in out_indices]
        if not with_dense:
            return maps, None
        return maps, as_map(self.project(patches[stop]), grid)

    def embed_both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """See base class; the blocks before the first that differs run once."""
        self.check_size(images)
        tokens, grid, rope = self.embed_tokens(images)
        last = self.num_blocks - 1
        branch = self.num_blocks - max(len(self.dense_tail), int(self.last_block_is_value_path))
        patches, tokens = self._run_densely(tokens, rope, (), last, branch)
        for block in self.groups()[branch:]:
            tokens = self._run(self.run_block, block, tokens, rope)
        return as_map(self.project(patches[last]), grid), self.pool(tokens)

    def _run_densely(
        self, tokens: Tensor, rope: Tensor | None, out_indices: Sequence[int], stop: int, branch: int = -1
    ) -> tuple[dict[int, Tensor], Tensor]:
        """Run blocks 0..stop on the dense path.

        Args:
            tokens: (B, num_prefix + N, C) input of the first block.
            rope: Rotary table.
            out_indices: Blocks whose outputs are wanted beside the last one's.
            stop: The last block to run.
            branch: Block whose input is wanted.

        Returns:
            Patches (B, N, C) by block, and the input of block ``branch`` (of a branch that is none, the last output).
        """
        last = self.num_blocks - 1
        blocks = self.groups()
        blocks[len(blocks) - len(self.dense_tail) :] = self.dense_tail
        patches, values, branched = {}, [], None
        for index, block in enumerate(blocks[: stop + 1]):
            if index == branch:
                branched = tokens
            inputs = tokens[:, self.num_prefix :]
            if stop == last and index > last - self.value_layers:
                values.append(self._run(self.value_branch, block, inputs, self.value_gate))
            if index == last and self.value_layers:
                patches[index] = sum(values[1:], start=values[0])
            elif index == last and self.last_block_is_value_path:
                residual = tokens[:, :1] if self.dense_residual == "cls" else inputs
                patches[index] = self._run(self.run_value_block, block, inputs, residual)
            else:
                tokens = self._run(self.run_block, block, tokens, rope)
                if index in out_indices or index == last:
                    patches[index] = tokens[:, self.num_prefix :]
        return patches, tokens if branched is None else branched


def weigh_heads(values: Tensor, inputs: Tensor, gate: nn.Linear | None) -> Tensor:
    """Multiply the values of each head by ``2 * sigmoid(gate(inputs))``.

    Args:
        values: (B, N, H * d), head by head.
        inputs: (B, N, C) what the values were projected from.
        gate: From C to H; None leaves the values as they are.

    Returns:
        (B, N, H * d).
    """
    if gate is None:
        return values
    weights = 2 * gate(inputs).sigmoid()
    return (values.unflatten(-1, (gate.out_features, -1)) * weights.unsqueeze(-1)).flatten(-2)


def expand_prefix(prefix: Tensor, patches: Tensor) -> Tensor:
    """Put the same prefix tokens (P, C) before the patches (B, N, C) of every image: (B, P + N, C)."""
    return torch.cat([prefix.to(patches.dtype).expand(patches.shape[0], -1, -1), patches], dim=1)
