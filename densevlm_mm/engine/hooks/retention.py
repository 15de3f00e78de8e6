"""The initial student as a teacher of whole images."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.hooks.image_teacher import ImageTeacherHook
from densevlm_mm.engine.hooks.initial_student import check_initial_student, check_trains, global_teacher
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.layers import View, check_view, cut_views, view_box
from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample


@HOOKS.register_module()
class RetentionHook(ImageTeacherHook):
    """Write what :class:`RetentionLoss` holds the student to: global embeddings of views by its frozen initial copy.

    - ``sample.view_norm_xyxy`` (4,), the part of the image that teacher and student embed, see :func:`view_box`; zeros
      for an image area narrower than a patch, which is left out.
    - ``sample.teacher_view`` (D,) float32 of unit norm, the teacher's embedding of it.

    The view is cut from the canvas at the encoder's native size, at which CLIP was trained, whatever the size that the
    dense path trains at.

    Args:
        teacher: Config of the student's architecture and initial checkpoint. Default: taken from ``model.encoder``.
        view: ``'centre'``, the largest centred square of the image (what tools/analysis_tools/retention.py measures of
            models that crop), or ``'whole'``, the whole image, stretched.
        dtype: See :class:`TeacherHook`.

    Raises:
        ValueError: If the view is unknown; before training, if the teacher is not the initial student or the student
            does not train.

    Example:
        >>> default_hooks = dict(retention=dict(type='RetentionHook'))
    """

    image_targets = ("view_norm_xyxy", "teacher_view")
    asks_of_teacher = (*ImageTeacherHook.asks_of_teacher, "native_size", "stride")

    def __init__(
        self,
        teacher: dict | None = None,
        view: View = "centre",
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        super().__init__({} if teacher is None else teacher, dtype)
        check_view(view)
        self.view = view
        self._follows_student = teacher is None

    def before_train(self, runner: Runner) -> None:
        """Build the teacher, also when a run is resumed, and compare it with the student that the training began with.

        Raises:
            ValueError: If it is another, or the student does not train.
        """
        who = type(self).__name__
        check_trains(unwrap_model(runner.model).encoder, who)
        if self._follows_student:
            self.teacher_cfg = global_teacher(runner.cfg.model.encoder)
        super().before_train(runner)
        check_initial_student(self.teacher, runner, who)

    def compute_targets(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> dict[str, Any]:
        """Embed the views; see :meth:`ImageTeacherHook.compute_targets`."""
        boxes_B4 = torch.stack(
            [view_box(sample.img_shape, images.shape[-2:], self.view, self.teacher.stride) for sample in data_samples]
        )
        views = cut_views(self.teacher.normalize(images), boxes_B4, self.teacher.native_size)
        return dict(view_norm_xyxy=boxes_B4, teacher_view=F.normalize(self.teacher(views).float(), dim=-1))
