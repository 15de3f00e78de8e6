"""Feature distillation from image crops, the loss of CLIPSelf (arXiv 2310.01403, Eq. 1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.registry import MODELS

# R regions, D channels.


@MODELS.register_module()
class FeatureDistillationLoss(PretrainingLoss):
    """One minus the mean cosine between student region features and teacher embeddings of the same image crops.

    With the student's own initial copy as teacher both live in one space. Features of another model on crops (Table 2)
    do not: ``projection`` then maps the student's into the teacher's space by a linear layer that learns with it and is
    thrown away afterwards. How the paper joins the two spaces is not known to us; this is the usual way of distilling
    across widths. The layer starts orthogonal, which keeps the cosines between student features.

    Args:
        projection: ``(D of the student, D of the teacher)`` for a teacher of another space; ``None`` compares the
            features as they are.

    Raises:
        ValueError: If a width is not positive.
    """

    inputs = ("teacher_features",)

    def __init__(self, projection: tuple[int, int] | None = None) -> None:
        super().__init__()
        self.projection: nn.Module = nn.Identity()
        self.widths = projection
        if projection is not None:
            if len(projection) != 2 or min(projection) < 1:
                raise ValueError(f"projection is (student width, teacher width), positive, not {projection}")
            layer = nn.Linear(*projection, bias=False)
            nn.init.orthogonal_(layer.weight)
            self.projection = layer

    def check_widths(self, student: int, teacher: int) -> None:
        """Check before training that the embedding widths of student and teacher fit.

        Raises:
            ValueError: If they do not.
        """
        if self.widths is None and student != teacher:
            raise ValueError(
                f"the student embeds into {student} dimensions and the teacher into {teacher}: take the same model as "
                f"teacher (CLIPSelf), or give the loss projection=({student}, {teacher})"
            )
        if self.widths is not None and tuple(self.widths) != (student, teacher):
            raise ValueError(
                f"projection={tuple(self.widths)} does not fit: the student embeds into {student} dimensions, the "
                f"teacher into {teacher}"
            )

    def forward(self, features: Tensor, teacher_features: Tensor) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            features: Student region features (R, D), not normalised.
            teacher_features: Teacher embeddings of the regions' crops (R, D of the teacher), constant for autograd.

        Returns:
            ``loss``, the mean over all regions of the batch (the mean over images is DenseVLM's); 0 with a gradient of
            0 if there is no region.

        Raises:
            ValueError: If the features cannot be compared.
        """
        with torch.autocast(features.device.type, enabled=False):
            projected_RD = self.projection(features.float())
        if projected_RD.shape != teacher_features.shape:
            raise ValueError(
                f"student region features are {tuple(projected_RD.shape)} and teacher features "
                f"{tuple(teacher_features.shape)}; feature distillation needs a teacher of the student's embedding "
                "size (CLIPSelf: the same model), or a projection."
            )
        cosine_R = F.cosine_similarity(projected_RD, teacher_features.detach().float(), dim=-1)
        num_regions = mean_over_processes(cosine_R.new_tensor(len(cosine_R)))
        return dict(loss=((1 - cosine_R) / num_regions).sum())
