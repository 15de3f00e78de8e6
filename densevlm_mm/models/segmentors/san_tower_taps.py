"""Any tower that pools by the mean, as the image encoder of SAN."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from densevlm_mm.models.clip.encoder_parts import EncoderParts
from densevlm_mm.models.encoders.towers import TransformerTower, adapter_for
from densevlm_mm.models.encoders.towers.base import as_map
from densevlm_mm.registry import MODELS as ROOT_MODELS


@MODELS.register_module()
class TowerTaps(BaseModule):
    """Feature maps of a frozen :class:`DenseImageEncoder` for SAN, and its map in the joint embedding space.

    The generalisation of SAN to towers without a class token: such a tower's global embedding is the mean of its
    positions' projections, so that :class:`MaskPooledRecognition` can take another weighted mean for every query. All
    blocks run in their ordinary form, once an image.

    Args:
        encoder: Config of a :class:`DenseImageEncoder`.
        out_indices: Blocks (from 0) whose outputs the side adapter is given, ascending.
        out_origin: Give it the input of the first block too, before the others.
        init_cfg: Must be None: the encoder loads its weights itself.

    Raises:
        ValueError: If the encoder is to be trained, is no transformer, does not pool by the mean, has no such block, or
            was trained for another dense path.
    """

    def __init__(
        self,
        encoder: dict[str, Any],
        out_indices: Sequence[int],
        out_origin: bool = True,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if init_cfg is not None:
            raise ValueError(f"the encoder loads its weights from `encoder.checkpoint`; got init_cfg={init_cfg}")
        if encoder.get("trainable", "none") != "none":
            raise ValueError(f"SAN's encoder is frozen: leave out encoder.trainable={encoder['trainable']!r}")
        self.encoder = ROOT_MODELS.build(encoder)
        parts = EncoderParts(self.encoder.dense_path, self.encoder.state_dict())
        parts.check_ordinary(str(self.encoder.checkpoint), "SAN")
        tower = adapter_for(self.encoder.visual)
        if not isinstance(tower, TransformerTower):
            raise ValueError(f"SAN taps the blocks of transformers, {self.encoder.model_name!r} is none")
        self._tower = tower
        self.out_indices = tuple(out_indices)
        self.out_origin = out_origin
        blocks = range(self.encoder.num_blocks)
        if not self.out_indices or sorted(set(out_indices) & set(blocks)) != list(out_indices):
            raise ValueError(f"out_indices must be ascending blocks of 0..{blocks[-1]}, got {self.out_indices}")
        self._check_pooling()

    def _check_pooling(self) -> None:
        # Measured, not looked up: norms and heads between pooling and embedding differ from library to library.
        generator = torch.Generator().manual_seed(0)
        tokens = torch.randn(1, self._tower.num_prefix + 6, self.encoder.width, generator=generator)
        with torch.no_grad():
            pooled = self._tower.pool(tokens)
            mean = self._tower.project(tokens[:, self._tower.num_prefix :]).mean(dim=1)
        if not torch.allclose(pooled, mean, rtol=1e-3, atol=1e-3 * float(pooled.abs().max())):
            raise ValueError(
                f"{self.encoder.model_name!r} does not pool by the mean of its positions' projections, so mask pooling "
                "would not be its recognition; OpenAI-type ViTs go through mmseg's image encoder "
                "(configs/_base_/models/san_vit-b16.py)"
            )

    def forward(self, images: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Run the tower.

        Args:
            images: Normalised images (B, 3, H, W).

        Returns:
            For the origin and each of ``out_indices`` its map (B, C, h, w); beside the last one the map in the joint
            embedding space (B, D, h, w), not normalised, beside the others None.

        Raises:
            ValueError: If the images are smaller than one patch.
        """
        tower = self._tower
        tower.check_size(images)
        with torch.no_grad():
            tokens, grid, rope = tower.embed_tokens(images)
            maps = [as_map(tokens[:, tower.num_prefix :], grid)] if self.out_origin else []
            for index, block in enumerate(tower.groups()):
                tokens = tower.run_block(block, tokens, rope)
                if index in self.out_indices:
                    maps.append(as_map(tokens[:, tower.num_prefix :], grid))
            joint = as_map(tower.project(tokens[:, tower.num_prefix :]), grid)
        return [(features, joint if i == len(maps) - 1 else None) for i, features in enumerate(maps)]
