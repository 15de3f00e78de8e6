"""Recognition of masks by pooling, for towers without a class token."""

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Tensor, nn

# B images, Q queries, D channels of the joint space, h, w the tower's grid.


@MODELS.register_module()
class MaskPooledRecognition(nn.Module):
    """Pool a tower's joint-space map for every query, weighted by its attention bias.

    In SAN (arXiv 2302.12242, Sec. 3.2) copies of the class token attend to positions under a bias. A tower that pools
    by the mean has neither class token nor attention in its pooling: here the softmax of the bias over the positions
    takes the place of the uniform weights, so that a zero bias gives every query the image's global embedding. It has
    no parameters.
    """

    def forward(self, bias: list[Tensor], feature: tuple[Tensor, Tensor]) -> Tensor:
        """Embed the queries.

        Args:
            bias: One attention bias (B, 1, Q, H, W), at any resolution; reduced to the grid by its maximum, as in SAN.
            feature: Last item of :class:`TowerTaps`: features, and the joint-space map (B, D, h, w).

        Returns:
            (B, Q, D) float32 of unit norm.

        Raises:
            ValueError: If the bias is for several attention heads.
        """
        if bias[0].shape[1] != 1:
            raise ValueError(
                f"pooling takes one bias, not one for each of {bias[0].shape[1]} heads: set "
                "decode_head.san_cfg.cfg_decoder.num_heads=1"
            )
        joint = feature[1].float()
        with torch.autocast(joint.device.type, enabled=False):
            bias_BQhw = F.adaptive_max_pool2d(bias[0].squeeze(1).float(), joint.shape[-2:])
            weights = bias_BQhw.flatten(2).softmax(dim=-1)
            return F.normalize(weights @ joint.flatten(2).transpose(1, 2), dim=-1)
