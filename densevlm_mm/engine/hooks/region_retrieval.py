"""DenseVLM's teacher: categories for regions, retrieved from its dense features."""

from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from densevlm_mm.engine.hooks.region_teacher import RegionTeacherHook
from densevlm_mm.models.layers import pool_boxes, text_similarity
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class RegionRetrievalHook(RegionTeacherHook):
    """Write ``regions.teacher_logits``, the cosines (R, K) of the teacher's region features with its class embeddings.

    One dense pass an image, RoIAlign of the grid cells, no image crops (Sec. 3.2).

    Args:
        teacher: Config of the frozen :class:`DenseImageEncoder` (P-VLM), or of another model with
            ``dense(images) -> (B, D, h, w)``.
        class_embeddings: See :class:`RegionTeacherHook`.
        input_size: Side in pixels to which the square canvas is resized (bicubic) for the teacher. Choose a multiple
            of its patch: 518 = 37 * 14 for ViT-L/14. ``None`` keeps the student's canvas; a side that is no multiple is
            then floored, which stretches regions by up to one patch (the published run: 512 at patch 14, 1.6 %).
        dtype: See :class:`TeacherHook`.
    """

    region_targets = ("teacher_logits",)
    asks_of_teacher = (*RegionTeacherHook.asks_of_teacher, "dense")

    def __init__(
        self,
        teacher: dict,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        input_size: int | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        super().__init__(teacher, class_embeddings, dtype=dtype)
        if input_size is not None and input_size < 1:
            raise ValueError(f"input_size is a side in pixels, got {input_size}.")
        self.input_size = input_size

    def compute_targets(self, images: Tensor, boxes_norm_xyxy: Sequence[Tensor]) -> dict[str, Tensor]:
        """Retrieve categories for all regions; see :meth:`RegionTeacherHook.compute_targets`."""
        if self.input_size is not None and images.shape[-1] != self.input_size:
            images = F.interpolate(images, size=(self.input_size, self.input_size), mode="bicubic", antialias=True)
        dense = self.teacher.dense(self.teacher.normalize(images))
        return dict(teacher_logits=text_similarity(pool_boxes(dense, boxes_norm_xyxy), self.text))
