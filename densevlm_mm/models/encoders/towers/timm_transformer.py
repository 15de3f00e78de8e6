"""What the two families of timm transformers in open_clip share: patch embedding, prefix tokens, head."""

from typing import Any

import torch
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.base import Grid
from densevlm_mm.models.encoders.towers.position_embedding import PositionEmbedding
from densevlm_mm.models.encoders.towers.transformer import TransformerTower


class TimmTransformerTower(TransformerTower):
    """A timm transformer inside open_clip's ``TimmModel``, at any input size, with our own position resize.

    Input sides that are no multiple of the stride lose the remainder at the right and at the bottom, as a patch
    convolution would have it; this also holds for convolutional stems.

    Raises:
        ValueError: If the tower's head is not per-position (attention pooling added by open_clip) or its cells are
            not square.
    """

    visual: TimmModel

    def __init__(self, visual: TimmModel) -> None:
        super().__init__(visual)
        trunk: Any = visual.trunk
        self.trunk = trunk
        if hasattr(visual.head, "pool"):
            raise ValueError(f"attention pooling head {type(visual.head.pool).__name__} has no dense path")
        ratio = trunk.patch_embed.feat_ratio(as_scalar=False)
        if ratio[0] != ratio[1]:
            raise ValueError(f"patches must be square, got {ratio[0]}x{ratio[1]} px")
        # Only an input check of timm's: the position embedding, which does depend on the size, is resized here.
        trunk.patch_embed.strict_img_size = False
        grid = tuple(trunk.patch_embed.grid_size)
        self.stride = ratio[0]
        self.native_size = (grid[0] * self.stride, grid[1] * self.stride)
        self.width = trunk.embed_dim
        self.num_blocks = len(trunk.blocks)
        self.num_prefix = trunk.num_prefix_tokens
        self.has_class_token = trunk.cls_token is not None
        self.embed_dim = self._embed_dim()
        self._positions = PositionEmbedding(0 if trunk.no_embed_class else self.num_prefix, grid)

    def _embed_dim(self) -> int:
        for layer in [*reversed(list(self.visual.head.modules())), self.trunk.head]:
            if isinstance(layer, nn.Linear):
                return layer.out_features
        return self.width

    def groups(self) -> list[nn.Module]:
        """See base class."""
        return list(self.trunk.blocks)

    def rotary(self, grid: Grid, device: torch.device) -> Tensor | None:
        """Return the rotary position table for a grid, None where the tower has none."""
        return None

    def embed_tokens(self, images: Tensor) -> tuple[Tensor, Grid, Tensor | None]:
        """See base class."""
        trunk = self.trunk
        grid = (images.shape[-2] // self.stride, images.shape[-1] // self.stride)
        patches = trunk.patch_embed(images[..., : grid[0] * self.stride, : grid[1] * self.stride])
        if patches.ndim == 4:  # towers built with dynamic_img_size=True keep (B, h, w, C)
            patches = patches.flatten(1, 2)
        prefix = [token for token in (trunk.cls_token, trunk.reg_token) if token is not None]
        positions = None if trunk.pos_embed is None else self._positions.for_grid(trunk.pos_embed, grid)
        if positions is not None and trunk.no_embed_class:
            patches = patches + positions
        tokens = (
            torch.cat([*(t.expand(patches.shape[0], -1, -1) for t in prefix), patches], dim=1) if prefix else patches
        )
        if positions is not None and not trunk.no_embed_class:
            tokens = tokens + positions
        return trunk.norm_pre(tokens), grid, self.rotary(grid, tokens.device)

    def pool(self, tokens: Tensor) -> Tensor:
        """See base class."""
        return self.visual.head(self.trunk.forward_head(self.trunk.norm(tokens)))

    def project(self, patches: Tensor) -> Tensor:
        """See base class."""
        trunk = self.trunk
        return self.visual.head(trunk.head(trunk.fc_norm(trunk.norm(patches))))
