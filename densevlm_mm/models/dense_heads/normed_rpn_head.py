"""A region proposal network with norms, as F-ViT has it on LVIS."""

from typing import Any

from mmcv.cnn import ConvModule
from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from torch import nn


@MODELS.register_module()
class NormedRPNHead(RPNHead):
    """Mmdet's RPN head with a norm after each of its shared convolutions.

    Args:
        norm_cfg: The norm.
        **options: Those of mmdet's ``RPNHead``.
    """

    def __init__(self, norm_cfg: dict, **options: Any) -> None:
        self.norm_cfg = norm_cfg  # the parent's __init__ builds the layers
        super().__init__(**options)

    def _init_layers(self) -> None:
        super()._init_layers()
        channels = [self.in_channels] + [self.feat_channels] * (self.num_convs - 1)
        # Not in place: as in the parent, autograd needs the convolutions' outputs.
        self.rpn_conv = nn.Sequential(
            *(ConvModule(c, self.feat_channels, 3, padding=1, norm_cfg=self.norm_cfg, inplace=False) for c in channels)
        )
