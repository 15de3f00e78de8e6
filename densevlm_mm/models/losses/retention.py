"""Image-level retention: the global path of an encoder stays where it was."""

import torch
import torch.nn.functional as F
from torch import Tensor

from densevlm_mm.models.layers import has_view
from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.registry import MODELS

# B images, D channels.


@MODELS.register_module()
class RetentionLoss(PretrainingLoss):
    """One minus the mean cosine between global embeddings of the student and of its initial copy.

    Beside a loss of regions it holds the ordinary attention path, whose embeddings the frozen text tower knows, in its
    place while the dense path is aligned; see configs/retention. Not of the DenseVLM paper. Its gradient is that of
    cosines: DenseVLM's, of cosines divided by 0.01, needs a larger weight beside it than CLIPSelf's.

    Example:
        >>> loss = dict(
        ...     type="WeightedLosses",
        ...     losses=dict(distill=dict(type="FeatureDistillationLoss"), retain=dict(type="RetentionLoss")),
        ...     weights=dict(distill=1.0, retain=1.0),
        ... )  # with default_hooks = dict(retention=dict(type='RetentionHook'))
    """

    features = ("views",)
    inputs = ("teacher_view", "view_norm_xyxy")

    def forward(self, views: Tensor, teacher_view: Tensor, view_norm_xyxy: Tensor) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            views: Student embeddings of the views (B, D), not normalised.
            teacher_view: Teacher embeddings of the same views (B, D), constant for autograd.
            view_norm_xyxy: The views' boxes (B, 4); images without a view are left out.

        Returns:
            ``loss``, the mean over all views of the batch, 0 with a gradient of 0 if there is none; ``cosine``, their
            mean cosine; ``no_view``, the share of images without a view.
        """
        has_view_B = has_view(view_norm_xyxy)
        cosine_B = F.cosine_similarity(views.float(), teacher_view.detach().float(), dim=-1)
        num_views = has_view_B.sum()
        num_views, num_images = mean_over_processes(
            torch.stack([num_views, torch.full_like(num_views, len(has_view_B))])
        )
        return dict(
            loss=((1 - cosine_B) * has_view_B).sum() / num_views,
            cosine=(cosine_B.detach() * has_view_B).sum() / num_views,
            no_view=(~has_view_B).sum() / num_images,
        )
