"""What every tower adapter offers to DenseImageEncoder."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

Grid = tuple[int, int]


def unit_norm(embeddings: Tensor) -> Tensor:
    """L2-normalise the last axis in float32, whatever autocast says.

    Args:
        embeddings: (..., D).

    Returns:
        (..., D) float32 of norm 1.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        return nn.functional.normalize(embeddings.float(), dim=-1)


def as_map(tokens: Tensor, grid: Grid) -> Tensor:
    """View row-major patch tokens (B, h * w, C) as a map (B, C, h, w) without copying (channels-last strides)."""
    return tokens.unflatten(1, grid).permute(0, 3, 1, 2)


def run_stage(stage: nn.Module, maps: Tensor) -> Tensor:
    """Call a module."""
    return stage(maps)


class Tower(ABC):
    """Reads one family of open_clip image towers densely. It owns no parameters: they stay in ``visual``.

    Attributes:
        visual: The open_clip image tower, used in place.
        embed_dim: D, width of the joint embedding space.
        width: C, channels of the last block's or stage's output.
        stride: Pixels per cell of the dense map.
        num_blocks: Number of blocks (transformers) or stages (convolutional towers).
        native_size: (h, w) input size in pixels that the position embedding was learned for.
        grad_checkpointing: Recompute blocks in the backward pass instead of keeping their activations.
        compile_options: Arguments of ``torch.compile``, by which blocks or stages run then; None for none.
    """

    embed_dim: int
    width: int
    stride: int
    num_blocks: int
    native_size: tuple[int, int]
    grad_checkpointing: bool = False
    compile_options: dict[str, Any] | None = None

    def __init__(self, visual: nn.Module) -> None:
        self.visual = visual
        self._compiled: dict[Callable, Callable[..., Tensor]] = {}

    @abstractmethod
    def embed_image(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to global embeddings (B, D), not normalised."""

    @abstractmethod
    def embed_densely(
        self, images: Tensor, out_indices: Sequence[int], with_dense: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """Run the tower once on the dense path.

        Args:
            images: (B, 3, H, W), normalised.
            out_indices: Blocks whose outputs are wanted, each in [0, num_blocks).
            with_dense: Whether the dense map is wanted too; without it the tower stops at the last wanted block.

        Returns:
            The wanted maps, (B, C_i, h_i, w_i) each, in the order asked for, and the dense map (B, D, h, w) as the
            visual projection gives it, not normalised, or None; channels-last strides.
        """

    def embed_both(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images to the dense map of :meth:`embed_densely` and the embeddings of :meth:`embed_image`."""
        dense = self.embed_densely(images, (), with_dense=True)[1]
        assert dense is not None
        return dense, self.embed_image(images)

    @abstractmethod
    def groups(self) -> list[nn.Module]:
        """Return the blocks or stages, first to last: what ``trainable='blocks'`` trains."""

    @abstractmethod
    def split_unused(self) -> set[nn.Parameter]:
        """Return the parameters that the dense path never reads (e.g. the last block's query and key).

        Fused query-key-value projections are split first, so that no returned parameter holds rows that are read.
        """

    def query_value_weights(self) -> set[nn.Parameter]:
        """Return the weights (not the biases) of the query and value projections of all blocks.

        Fused projections are split first, so that no returned parameter holds key rows.

        Raises:
            ValueError: If the tower is not a transformer.
        """
        raise ValueError(
            f"trainable='query_value' trains attention blocks, which a {type(self).__name__.removesuffix('Tower')} "
            "tower lacks: use trainable='blocks'"
        )

    def pool_positions(self) -> set[nn.Parameter]:
        """Return the position embedding of the pooling attention.

        Raises:
            ValueError: If the tower is not one of OpenAI's ResNets, which alone have one.
        """
        raise ValueError(
            f"train_pool_positions=True is for OpenAI's ResNets: a {type(self).__name__.removesuffix('Tower')} tower "
            "does not pool by an attention with positions of its own"
        )

    def check_size(self, images: Tensor) -> None:
        """Raise ValueError unless ``images`` is (B, 3, H, W) with sides of at least one cell."""
        if images.ndim != 4:
            raise ValueError(f"images must be (B, 3, H, W), got shape {tuple(images.shape)}")
        height, width = images.shape[-2:]
        if min(height, width) < self.stride:
            raise ValueError(
                f"image of {height}x{width} px (height x width) is smaller than one {self.stride} px patch: "
                "resize or pad it first"
            )

    def _run(self, function: Callable[..., Tensor], module: nn.Module, *args: Any) -> Tensor:
        """Call ``function(module, *args)``, compiled if that is wanted, checkpointed if that saves memory."""
        if self.compile_options is not None:
            # One program for all blocks of a tower, not one for each: they differ in their weights alone.
            if function not in self._compiled:
                self._compiled[function] = torch.compile(function, **self.compile_options)
            function = self._compiled[function]
        if self.grad_checkpointing and torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters()):
            # The tower is always in eval mode: there is no dropout whose random state would have to be replayed.
            return checkpoint(function, module, *args, use_reentrant=False, preserve_rng_state=False)
        return function(module, *args)
