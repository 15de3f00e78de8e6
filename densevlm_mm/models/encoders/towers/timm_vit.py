"""timm vision transformers inside open_clip's ``TimmModel``: class-token, average and latent-attention pooling."""

from typing import Any

from open_clip.timm_model import TimmModel
from timm.layers import Attention, AttentionPoolLatent
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.split_projection import (
    query_key_parameters,
    query_value_weights,
    split_projection,
    value_projection,
)
from densevlm_mm.models.encoders.towers.timm_transformer import TimmTransformerTower
from densevlm_mm.models.encoders.towers.transformer import weigh_heads


class TimmViTTower(TimmTransformerTower):
    """Last block on the dense path: ``x += ls1(proj(norm_attn(V norm1(x) + b_v)))``, ``x += ls2(mlp(norm2(x)))``.

    The norm that an average-pooling tower applies after pooling (``fc_norm``) is applied to every patch. SigLIP towers
    pool by attention from a latent query (timm: ``global_pool='map'``): there the *pooling* attention takes the value
    path, as in CLIP's ResNets, and all blocks run as usual.

    Raises:
        ValueError: For blocks other than timm's plain pre-norm block and for other kinds of pooling.
    """

    def __init__(self, visual: TimmModel) -> None:
        super().__init__(visual)
        for block in self.trunk.blocks:
            if type(block) is not Block or type(block.attn) is not Attention:
                names = f"{type(block).__name__} with {type(getattr(block, 'attn', None)).__name__}"
                raise ValueError(f"blocks of type {names} have no dense path: use timm's plain Block and Attention")
        pool = self.trunk.attn_pool
        if pool is not None and (
            type(pool) is not AttentionPoolLatent or pool.pos_embed is not None or pool.latent_len != 1
        ):
            raise ValueError(f"pooling by {type(pool).__name__} has no dense path")
        self.last_block_is_value_path = pool is None

    def run_block(self, block: nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
        """See base class."""
        return block(tokens)

    def value_branch(self, block: Any, tokens: Tensor, gate: nn.Linear | None = None) -> Tensor:
        """See base class."""
        attention = block.attn
        inputs = block.norm1(tokens)
        values = weigh_heads(nn.functional.linear(inputs, *value_projection(attention.qkv)), inputs, gate)
        values = attention.norm(values)
        if attention.gate is not None:
            values = values * attention.gate(inputs).sigmoid()
        return block.ls1(attention.proj(values))

    def feed_forward(self, block: Any, tokens: Tensor) -> Tensor:
        """See base class."""
        return block.ls2(block.mlp(block.norm2(tokens)))

    def feed_forward_parameters(self, block: Any) -> set[nn.Parameter]:
        """See base class."""
        return {*block.norm2.parameters(), *block.mlp.parameters(), *block.ls2.parameters()}

    def project(self, patches: Tensor) -> Tensor:
        """See base class."""
        pool: Any = self.trunk.attn_pool
        if pool is None:
            return super().project(patches)
        values = nn.functional.linear(self.trunk.norm(patches), *value_projection(pool.kv, parts=("k", "v")))
        patches = pool.proj(values)
        if pool.mlp is not None:
            patches = patches + pool.mlp(pool.norm(patches))
        return self.visual.head(self.trunk.head(self.trunk.fc_norm(patches)))

    def query_value_weights(self) -> set[nn.Parameter]:
        """See base class."""
        return set().union(*(query_value_weights(block.attn.qkv) for block in self.trunk.blocks))

    def split_unused(self) -> set[nn.Parameter]:
        """See base class."""
        pool = self.trunk.attn_pool
        if pool is None:
            return super().split_unused()
        split_projection(pool.kv, parts=("k", "v"))
        norms = {*pool.q_norm.parameters(), *pool.k_norm.parameters()}
        return {pool.latent, *pool.q.parameters(), *query_key_parameters(pool.kv), *norms}

    def split_query_key(self, block: Any) -> set[nn.Parameter]:
        """See base class."""
        attention = block.attn
        split_projection(attention.qkv)
        return {
            *query_key_parameters(attention.qkv),
            *attention.q_norm.parameters(),
            *attention.k_norm.parameters(),
        }
