"""Feature distillation from image crops, the loss of CLIPSelf (arXiv 2310.01403, Eq. 1)."""

import torch.nn.functional as F
from torch import Tensor, nn

from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.registry import MODELS

# R regions, D channels.


@MODELS.register_module()
class FeatureDistillationLoss(nn.Module):
    """One minus the mean cosine between student region features and teacher embeddings of the same image crops."""

    inputs = ("teacher_features",)

    def forward(self, features: Tensor, teacher_features: Tensor) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            features: Student region features (R, D), not normalised.
            teacher_features: Teacher embeddings of the regions' crops (R, D), constant for autograd.

        Returns:
            ``loss``, a scalar; 0 with a gradient of 0 if there is no region.

        Raises:
            ValueError: If teacher and student embed into spaces of different size.
        """
        if features.shape != teacher_features.shape:
            raise ValueError(
                f"student region features are {tuple(features.shape)} and teacher features "
                f"{tuple(teacher_features.shape)}; "
                "feature distillation needs a teacher of the student's embedding size (CLIPSelf: the same model)."
            )
        cosine_R = F.cosine_similarity(features.float(), teacher_features.detach().float(), dim=-1)
        num_regions = mean_over_processes(cosine_R.new_tensor(len(cosine_R)))
        return dict(loss=((1 - cosine_R) / num_regions).sum())
