"""A dense encoder, frozen or fine-tuned, as the backbone of an mmdetection or mmsegmentation model."""

from collections.abc import Sequence

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule
from torch import Tensor, nn

from densevlm_mm.registry import MODELS

# B images, C tower width, D embedding size; h, w the grid of patches.


@MODELS.register_module()
class DenseVLMBackbone(BaseModule):
    """Four maps of a :class:`DenseImageEncoder`: strides patch/4, patch/2, patch and 2*patch (F-ViT's pyramid).

    The tower runs as in pretraining, the last block in its value-path form, and stays in eval mode. It is frozen: only
    the adaptors that bring the maps to their strides train. For patch 16 the strides are 4, 8, 16 and 32, for patch 14
    they are 3.5, 7, 14 and 28.

    With ``encoder=dict(trainable='blocks')`` its blocks are fine-tuned, best with rates that fall from the last block
    to the first: ``optim_wrapper=dict(constructor='densevlm_mm.GroupedOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay=0.75))``.

    Args:
        encoder: Config of a :class:`DenseImageEncoder`: a published or an exported checkpoint, or one of
            ``tools/train.py``. Swapping CLIP for DenseVLM is a change of its ``checkpoint``.
        out_indices: Blocks (from 0; negative from the end) whose outputs are adapted, finest stride first. F-ViT: 3, 5,
            7, 11 for B/16 and 6, 10, 14, 23 for L/14.
        norm_cfg: Norm of the finest adaptor.
        adapt: ``False`` returns the blocks' maps as they are, any number of them, all at the patch's stride.
        init_cfg: For the adaptors, as in mmengine; default: PyTorch's initialisation.

    Raises:
        ValueError: If more of the encoder is to train than its blocks, or blocks that no map comes from or after, or if
            adaptors are asked for other than four maps.

    Example:
        >>> backbone = dict(type='densevlm_mm.DenseVLMBackbone', out_indices=(3, 5, 7, 11), encoder=dict(
        ...     type='densevlm_mm.DenseImageEncoder', checkpoint='weights/densevlm_eva02_b16.safetensors'))
    """

    def __init__(
        self,
        encoder: dict,
        out_indices: Sequence[int] = (3, 5, 7, 11),
        norm_cfg: dict | None = None,
        adapt: bool = True,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if encoder.get("trainable", "none") not in ("none", "blocks"):
            raise ValueError(
                f"encoder.trainable={encoder['trainable']!r} would train what no map is made of: use 'blocks' to "
                "fine-tune the backbone's encoder, or leave it out to keep it frozen."
            )
        if adapt and len(out_indices) != 4:
            raise ValueError(
                f"the pyramid is made of four maps, got out_indices={tuple(out_indices)}; or set adapt=False."
            )
        self.encoder = MODELS.build(encoder)
        self.out_indices = tuple(out_indices)
        self._check_gradients()
        self.adaptors = self._build_adaptors(norm_cfg or dict(type="SyncBN")) if adapt else None
        stride, width = self.encoder.stride, self.encoder.width
        self.strides = [stride / 4, stride / 2, stride, stride * 2] if adapt else [stride] * len(self.out_indices)
        self.out_channels = [width] * len(self.out_indices)
        self.embed_dim = self.encoder.embed_dim

    def _check_gradients(self) -> None:
        blocks = self.encoder.blocks
        last = max(index % len(blocks) for index in self.out_indices)
        if any(parameter.requires_grad for block in blocks[last + 1 :] for parameter in block.parameters()):
            raise ValueError(
                f"the last of out_indices={self.out_indices} is block {last}, and no gradient reaches the blocks after "
                f"it: let the last of out_indices be {len(blocks) - 1}, or leave out encoder.trainable."
            )

    def _build_adaptors(self, norm_cfg: dict) -> nn.ModuleList:
        width = self.encoder.width
        finest = nn.Sequential(
            nn.ConvTranspose2d(width, width, 2, 2),
            build_norm_layer(norm_cfg, width)[1],
            nn.GELU(),
            nn.ConvTranspose2d(width, width, 2, 2),
        )
        return nn.ModuleList([finest, nn.ConvTranspose2d(width, width, 2, 2), nn.Identity(), nn.MaxPool2d(2, 2)])

    def train(self, mode: bool = True) -> "DenseVLMBackbone":
        """Set the mode of the adaptors; the tower stays in eval mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the maps, as a neck or head of mmdetection or mmsegmentation takes them.

        Args:
            images: Normalised images (B, 3, H, W).

        Returns:
            For each of ``out_indices`` (B, C, H / stride, W / stride).
        """
        return self._adapt(self.encoder.features(images, self.out_indices))

    def forward_with_dense(self, images: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the maps and the dense CLIP map from one pass through the tower.

        Args:
            images: Normalised images (B, 3, H, W).

        Returns:
            The maps, as :meth:`forward`, and the dense map (B, D, h, w), unit norm at every position.
        """
        features, dense = self.encoder.features_and_dense(images, self.out_indices)
        return self._adapt(features), dense

    def _adapt(self, features: list[Tensor]) -> tuple[Tensor, ...]:
        if self.adaptors is None:
            return tuple(features)
        return tuple(adaptor(feature) for adaptor, feature in zip(self.adaptors, features, strict=True))
