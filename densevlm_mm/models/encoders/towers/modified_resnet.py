"""OpenAI's ResNet towers (``open_clip.modified_resnet.ModifiedResNet``)."""

from collections.abc import Sequence

import torch
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

from densevlm_mm.models.encoders.towers.base import Tower, as_map, run_stage
from densevlm_mm.models.encoders.towers.position_embedding import PositionEmbedding


class ModifiedResNetTower(Tower):
    """Dense path: ``c_proj(v_proj(layer4_map + positional_embedding[1:]))``, the pooling attention's value path."""

    visual: ModifiedResNet
    stride = 32
    num_blocks = 4

    def __init__(self, visual: ModifiedResNet) -> None:
        super().__init__(visual)
        side = visual.image_size if isinstance(visual.image_size, int) else visual.image_size[0]
        self.native_size = (side, side)
        self.width = visual.attnpool.v_proj.in_features
        self.embed_dim = visual.attnpool.c_proj.out_features
        self._positions = PositionEmbedding(num_prefix=1, native_grid=(side // 32, side // 32))

    def groups(self) -> list[nn.Module]:
        """See base class."""
        return [self.visual.layer1, self.visual.layer2, self.visual.layer3, self.visual.layer4]

    def split_unused(self) -> set[nn.Parameter]:
        """See base class."""
        pool = self.visual.attnpool
        return {*pool.q_proj.parameters(), *pool.k_proj.parameters()}

    def pool_positions(self) -> set[nn.Parameter]:
        """See base class."""
        return {self.visual.attnpool.positional_embedding}

    def _stages(self, images: Tensor, last: int) -> list[Tensor]:
        self.check_size(images)
        # The first convolution rounds odd sides up, every later layer down; even sides make the grid side // 32.
        maps = self.visual.stem(images[..., : images.shape[-2] // 2 * 2, : images.shape[-1] // 2 * 2])
        outputs = []
        for stage in self.groups()[: last + 1]:
            maps = self._run(run_stage, stage, maps)
            outputs.append(maps)
        return outputs

    def embed_image(self, images: Tensor) -> Tensor:
        """See base class."""
        pool = self.visual.attnpool
        maps = self._stages(images, last=3)[-1]
        tokens = maps.flatten(2).transpose(1, 2)
        tokens = torch.cat([tokens.mean(dim=1, keepdim=True), tokens], dim=1)
        positions = self._positions.for_grid(pool.positional_embedding, (maps.shape[-2], maps.shape[-1]))
        tokens = tokens + positions.to(tokens.dtype)
        # The mean token is the only query whose answer is used.
        heads = (
            projection.unflatten(-1, (pool.num_heads, -1)).transpose(1, 2)
            for projection in (pool.q_proj(tokens[:, :1]), pool.k_proj(tokens), pool.v_proj(tokens))
        )
        return pool.c_proj(nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))[:, 0]

    def embed_densely(
        self, images: Tensor, out_indices: Sequence[int], with_dense: bool
    ) -> tuple[list[Tensor], Tensor | None]:
        """See base class; the blocks are the four stages, of stride 4, 8, 16 and 32."""
        outputs = self._stages(images, last=3 if with_dense else max(out_indices))
        maps = [outputs[index] for index in out_indices]
        if not with_dense:
            return maps, None
        pool = self.visual.attnpool
        grid = (outputs[-1].shape[-2], outputs[-1].shape[-1])
        tokens = outputs[-1].flatten(2).transpose(1, 2)
        positions = self._positions.for_grid(pool.positional_embedding, grid)[1:]
        tokens = pool.c_proj(pool.v_proj(tokens + positions.to(tokens.dtype)))
        return maps, as_map(tokens, grid)
