"""The baselines' teacher: embeddings of image crops."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch import Tensor
from torchvision.ops import roi_align

from densevlm_mm.engine.hooks.region_teacher import RegionTeacherHook
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.layers import boxes_to_rois, text_similarity
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class CropTeacherHook(RegionTeacherHook):
    """Write ``regions.teacher_features``, the teacher's global embedding (R, D) of every region's image crop.

    With the initial student as teacher and :class:`FeatureDistillationLoss` this is CLIPSelf (arXiv 2310.01403).
    A teacher of another embedding space needs the loss's ``projection``, which is checked before the first step.
    ``with_logits`` adds ``regions.teacher_logits`` (R, K), so that :class:`DecoupledAlignmentLoss` can learn from crops
    (Table 2).

    Args:
        teacher: Config of the frozen :class:`DenseImageEncoder`, or of another model that embeds images, ``(B, D)``.
        crop_size: Side in pixels of a crop, area-averaged by RoIAlign; default: the teacher's native input size.
        with_logits: Whether to write ``teacher_logits`` too.
        class_embeddings: For the logits; see :class:`RegionTeacherHook`.
        batch_size: Crops a forward pass; bounds memory.
        dtype: See :class:`TeacherHook`.
    """

    region_targets: tuple[str, ...] = ("teacher_features", "teacher_logits")
    asks_of_teacher = (*RegionTeacherHook.asks_of_teacher, "embed_dim", "image_size")

    def __init__(
        self,
        teacher: dict,
        crop_size: int | None = None,
        with_logits: bool = False,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        batch_size: int = 256,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        super().__init__(teacher, class_embeddings, with_text=with_logits, dtype=dtype)
        if not with_logits:
            self.region_targets = ("teacher_features",)
        for name, value in (("crop_size", crop_size), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive, got {value}.")
        self.crop_size = crop_size
        self.batch_size = batch_size

    def before_train(self, runner: Runner) -> None:
        """Build the teacher, and check that the loss can compare its features with the student's."""
        super().before_train(runner)
        model = unwrap_model(runner.model)
        model.loss_module.check_widths(model.encoder.embed_dim, self.teacher.embed_dim)

    def compute_targets(self, images: Tensor, boxes_norm_xyxy: Sequence[Tensor]) -> dict[str, Tensor]:
        """Embed the crops of all regions; see :meth:`RegionTeacherHook.compute_targets`."""
        size = self.crop_size or self.teacher.image_size
        rois = boxes_to_rois(boxes_norm_xyxy, images.shape[-2:], images.device)
        images = self.teacher.normalize(images)
        features = [
            self.teacher(roi_align(images, chunk, output_size=size, sampling_ratio=-1, aligned=True)).float()
            for chunk in rois.split(self.batch_size)
        ]
        features_RD = F.normalize(torch.cat(features), dim=-1)
        targets = dict(teacher_features=features_RD)
        if self.with_text:
            targets["teacher_logits"] = text_similarity(features_RD, self.text)
        return targets
