"""Contrastive learning from images and their captions, as CLIP was trained."""

import torch
import torch.nn.functional as F
from mmengine.dist import all_gather, get_rank, get_world_size
from torch import Tensor

from densevlm_mm.models.layers import exclude, has_view
from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.registry import MODELS

# B images of this process, N images of all processes, D channels.


@MODELS.register_module()
class CaptionContrastLoss(PretrainingLoss):
    """Symmetric cross-entropy between the views of the images of all processes and one caption of each.

    Images with equal captions are positives of each other: the target of a row is shared equally among them. Images
    without a caption or a view are left out, as rows and as columns; with fewer than two left the loss is 0.

    All processes compute the loss of all images, each with the gradient of its own; equal batch sizes are assumed, as
    our samplers give them. Captions are annotations: a run with this loss does not keep the promise to need none.

    Args:
        temperature: What the cosines are divided by, positive; 0.01 is CLIP's scale of 100.

    Raises:
        ValueError: If the temperature is not positive.
    """

    features = ("views",)
    inputs = ("caption_feature", "caption_id", "view_norm_xyxy")

    def __init__(self, temperature: float = 0.01) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}; CLIP's scale of 100 is 0.01.")
        self.temperature = temperature

    def forward(
        self, views: Tensor, caption_feature: Tensor, caption_id: Tensor, view_norm_xyxy: Tensor
    ) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            views: Student embeddings of the views (B, D), not normalised.
            caption_feature: Text embeddings of the captions (B, D), constant for autograd.
            caption_id: (B,) int64, equal for equal captions, negative for an image without one.
            view_norm_xyxy: The views' boxes (B, 4).

        Returns:
            ``loss``, the mean of both directions over the images that are left, 0 with a gradient of 0 for fewer than
            two; ``accuracy``, the share of those images that score a caption of theirs highest; ``left_out``, the share
            of images that are left out.
        """
        counts_B = has_view(view_norm_xyxy) & (caption_id >= 0)
        views_ND = _gather_with_own_gradient(F.normalize(views.float(), dim=-1))
        captions_ND = torch.cat(all_gather(F.normalize(caption_feature.detach().float(), dim=-1)))
        id_N, counts_N = torch.cat(all_gather(caption_id)), torch.cat(all_gather(counts_B.long())).bool()

        pairs_NN = counts_N[:, None] & counts_N
        logits_NN = exclude(views_ND @ captions_ND.T / self.temperature, ~pairs_NN)
        positive_NN = (id_N[:, None] == id_N) & pairs_NN
        target_NN = positive_NN / positive_NN.sum(dim=1, keepdim=True).clamp(min=1)
        log_q_NN = (logits_NN.log_softmax(dim=1) + logits_NN.T.log_softmax(dim=1)) / 2  # positives are symmetric
        entropy_N = -(target_NN * log_q_NN).sum(dim=1)
        num_left = counts_N.sum().clamp(min=1)
        loss = (entropy_N * counts_N).sum() / num_left
        is_right_N = positive_NN.gather(1, logits_NN.argmax(dim=1, keepdim=True)).squeeze(1)
        return dict(
            # DDP averages gradients, and this process has a part of them: the value is the loss, the gradient W times.
            loss=loss.detach() + get_world_size() * (loss - loss.detach()),
            accuracy=is_right_N.sum() / num_left,
            left_out=(~counts_N).float().mean(),
        )


def _gather_with_own_gradient(embeddings_BD: Tensor) -> Tensor:
    """Embeddings (N, D) of all processes; those of this one keep their gradient."""
    parts = list(all_gather(embeddings_BD.detach()))
    parts[get_rank()] = embeddings_BD
    return torch.cat(parts)
