"""OpenAI and OpenCLIP vision transformers (``open_clip.transformer.VisionTransformer``)."""

from typing import Any

from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.base import Grid
from densevlm_mm.models.encoders.towers.position_embedding import PositionEmbedding
from densevlm_mm.models.encoders.towers.split_projection import (
    query_key_parameters,
    query_value_weights,
    split_projection,
    value_projection,
)
from densevlm_mm.models.encoders.towers.transformer import TransformerTower, expand_prefix, weigh_heads


class OpenClipViTTower(TransformerTower):
    """Last block on the dense path: ``x += ls_1(out_proj(V ln_1(x) + b_v))``, ``x += ls_2(mlp(ln_2(x)))``.

    Raises:
        ValueError: If the tower pools by attention (CoCa), has custom attention blocks or patches that are not square.
    """

    visual: VisionTransformer
    num_prefix = 1
    has_class_token = True

    def __init__(self, visual: VisionTransformer) -> None:
        super().__init__(visual)
        if visual.attn_pool is not None or visual.pool_type not in ("tok", "avg"):
            raise ValueError(
                f"image tower with attentional pooling or pool_type={visual.pool_type!r} has no dense path: "
                "use an architecture with class-token or average pooling"
            )
        for block in visual.transformer.resblocks:
            if type(block) is not ResidualAttentionBlock:
                raise ValueError(
                    f"blocks of type {type(block).__name__} have no dense path: use the default block_type"
                )
        patch_height, patch_width = visual.patch_size
        if patch_height != patch_width:
            raise ValueError(f"patches must be square, got {patch_height}x{patch_width} px")
        self.stride = patch_height
        self.width = visual.conv1.out_channels
        self.embed_dim = visual.output_dim
        self.num_blocks = len(visual.transformer.resblocks)
        self.native_size = tuple(visual.image_size)
        self._positions = PositionEmbedding(num_prefix=1, native_grid=tuple(visual.grid_size))

    def groups(self) -> list[nn.Module]:
        """See base class."""
        return list(self.visual.transformer.resblocks)

    def split_query_key(self, block: Any) -> set[nn.Parameter]:
        """See base class."""
        split_projection(block.attn)
        return query_key_parameters(block.attn)

    def feed_forward_parameters(self, block: Any) -> set[nn.Parameter]:
        """See base class."""
        return {*block.ln_2.parameters(), *block.mlp.parameters(), *block.ls_2.parameters()}

    def query_value_weights(self) -> set[nn.Parameter]:
        """See base class."""
        return set().union(*(query_value_weights(block.attn) for block in self.visual.transformer.resblocks))

    def embed_tokens(self, images: Tensor) -> tuple[Tensor, Grid, None]:
        """See base class."""
        maps = self.visual.conv1(images)
        grid = (maps.shape[-2], maps.shape[-1])
        tokens = expand_prefix(self.visual.class_embedding[None], maps.flatten(2).transpose(1, 2))
        positions = self._positions.for_grid(self.visual.positional_embedding, grid)
        return self.visual.ln_pre(tokens + positions.to(tokens.dtype)), grid, None

    def run_block(self, block: nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
        """See base class."""
        return block(tokens)

    def value_branch(self, block: Any, tokens: Tensor, gate: nn.Linear | None = None) -> Tensor:
        """See base class."""
        inputs = block.ln_1(tokens)
        values = weigh_heads(nn.functional.linear(inputs, *value_projection(block.attn)), inputs, gate)
        return block.ls_1(block.attn.out_proj(values))

    def feed_forward(self, block: Any, tokens: Tensor) -> Tensor:
        """See base class."""
        return block.ls_2(block.mlp(block.ln_2(tokens)))

    def pool(self, tokens: Tensor) -> Tensor:
        """See base class."""
        visual = self.visual
        if visual.pool_type == "tok":
            pooled = visual.ln_post(tokens[:, 0])
        elif visual.final_ln_after_pool:
            pooled = visual.ln_post(tokens[:, 1:].mean(dim=1))
        else:
            pooled = visual.ln_post(tokens[:, 1:]).mean(dim=1)
        return pooled @ visual.proj

    def project(self, patches: Tensor) -> Tensor:
        """See base class."""
        return self.visual.ln_post(patches) @ self.visual.proj
