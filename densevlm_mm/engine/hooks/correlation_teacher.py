"""A frozen model's map, whose similarities between positions a student keeps."""

import logging
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.hooks.initial_student import check_initial_student, initial_student
from densevlm_mm.engine.hooks.teacher import TeacherHook
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.layers import pool_boxes
from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample

# B images, R regions, L tokens a region, D_T channels of the teacher, h, w the student's grid.


@HOOKS.register_module()
class CorrelationTeacherHook(TeacherHook):
    """Write a frozen model's features of positions for :class:`CorrelationDistillationLoss`.

    ``scope='region'`` writes ``regions.teacher_tokens`` (R, L, D_T), RoIAlign of the teacher's map to
    ``model.token_size`` squared tokens, and ``regions.teacher_tokens_valid`` (R, L) bool, False for the tokens of a
    region of less than two cells a side and for those in the padding. ``scope='image'`` writes ``teacher_map``
    (D_T, h, w) and ``teacher_map_valid`` (h, w) bool, False for cells whose centre lies in the padding. Features have
    unit norm.

    The teacher's grid is the student's: the canvas is resized for a teacher of another patch (DINOv2 at patch 14 sees
    512 pixels at patch 16 as 448). Where nothing asks for what the hook writes (a weight of 0), it does nothing, and
    builds no teacher.

    Args:
        scope: ``'region'`` or ``'image'``; that of the loss.
        teacher: Config of a frozen :class:`DenseImageEncoder` or :class:`TimmFeatures`, or of another model with
            ``dense(images) -> (B, D_T, h, w)`` and ``stride``. Default: the student as its checkpoint has it, which is
            shared with other hooks of that teacher.
        dtype: See :class:`TeacherHook`.

    Raises:
        ValueError: If the scope is unknown; before the first step, if the initial student is asked for and has no
            checkpoint, or another than the training began with; in it, if the teacher's grid is not the student's.

    Example:
        >>> default_hooks = dict(correlate=dict(type='CorrelationTeacherHook', scope='image',
        ...     teacher=dict(type='TimmFeatures', model_name='vit_base_patch14_dinov2.lvd142m')))
    """

    region_targets: tuple[str, ...] = ("teacher_tokens", "teacher_tokens_valid")
    image_targets: tuple[str, ...] = ("teacher_map", "teacher_map_valid")
    asks_of_teacher = (*TeacherHook.asks_of_teacher, "dense", "stride")

    def __init__(
        self,
        scope: Literal["region", "image"] = "region",
        teacher: dict | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        super().__init__({} if teacher is None else teacher, dtype)
        if scope not in ("region", "image"):
            raise ValueError(f"scope must be 'region' or 'image', got {scope!r}.")
        self.scope = scope
        self._follows_student = teacher is None
        if scope == "region":
            self.image_targets = ()
        else:
            self.region_targets = ()

    def before_train(self, runner: Runner) -> None:
        """Build the teacher, if the loss asks for it."""
        model = unwrap_model(runner.model)
        targets = self.region_targets + self.image_targets
        if not set(targets).intersection(model.wanted_targets):
            print_log(
                f"{type(self).__name__}: no loss asks for {targets[0]!r}, the teacher is not built",
                "current",
                logging.WARNING,
            )
            return
        if self._follows_student:
            self.teacher_cfg = initial_student(runner.cfg.model.encoder)
        self.student_stride, self.token_size = model.encoder.stride, model.token_size
        super().before_train(runner)
        if self._follows_student:
            check_initial_student(self.teacher, runner, type(self).__name__)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Write the targets into ``data_batch['data_samples']``."""
        if self.teacher is not None:
            super().before_train_iter(runner, batch_idx, data_batch)

    def write_targets(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> None:
        """See :meth:`TeacherHook.write_targets`."""
        dense = self._dense(images)
        if self.scope == "image":
            valid = cells_in_image([sample.img_shape for sample in data_samples], dense.shape[-2:], self.student_stride)
            on_device = valid.to(dense.device, non_blocking=True)
            self.write_image_targets(data_samples, dict(teacher_map=dense, teacher_map_valid=on_device))
            return
        boxes = [sample.regions.boxes_norm_xyxy for sample in data_samples]
        tokens_RLD = pool_boxes(dense, boxes, self.token_size).flatten(2).transpose(1, 2)
        areas = [sample.img_shape for sample in data_samples]
        valid_RL = torch.cat(
            [
                tokens_in_image(boxes_R4, area, images.shape[-2:], dense.shape[-2:], self.token_size)
                for boxes_R4, area in zip(boxes, areas, strict=True)
            ]
        )
        self.write_region_targets(
            data_samples,
            dict(
                teacher_tokens=F.normalize(tokens_RLD, dim=-1),
                teacher_tokens_valid=valid_RL.to(dense.device, non_blocking=True),
            ),
        )

    def _dense(self, images: Tensor) -> Tensor:
        """The teacher's map (B, D_T, h, w) on the student's grid."""
        grid = tuple(side // self.student_stride for side in images.shape[-2:])
        seen = images[..., : grid[0] * self.student_stride, : grid[1] * self.student_stride]
        wanted = tuple(side * self.teacher.stride for side in grid)
        if seen.shape[-2:] != wanted:
            seen = F.interpolate(seen, size=wanted, mode="bicubic", antialias=True)
        dense = self.teacher.dense(self.teacher.normalize(seen))
        if dense.shape[-2:] != grid:
            raise ValueError(
                f"{type(self.teacher).__name__} gives a map of {tuple(dense.shape[-2:])} positions for an image of "
                f"{wanted} pixels, and the student's has {grid}: its stride is not {self.teacher.stride}."
            )
        return dense


def cells_in_image(img_shapes: Sequence[Sequence[int]], grid: Sequence[int], stride: int) -> Tensor:
    """Which cells of the feature grid have their centre in the image area.

    Args:
        img_shapes: Height and width in pixels of each image area, at the top left of the canvas.
        grid: Rows and columns of the grid.
        stride: Pixels of a cell a side.

    Returns:
        (B, rows, columns) bool, on the CPU.
    """
    sides_B2 = torch.tensor([tuple(shape[:2]) for shape in img_shapes])
    rows, columns = ((torch.arange(cells) + 0.5) * stride for cells in grid)
    return (rows < sides_B2[:, :1])[:, :, None] & (columns < sides_B2[:, 1:])[:, None, :]


def tokens_in_image(
    boxes_norm_xyxy: Tensor, img_shape: Sequence[int], canvas: Sequence[int], grid: Sequence[int], token_size: int
) -> Tensor:
    """Which tokens of regions say something of their own: those in the image area, of regions of two cells a side.

    Args:
        boxes_norm_xyxy: (R, 4), corners as fractions of the canvas.
        img_shape: Height and width in pixels of the image area.
        canvas: Height and width in pixels.
        grid: Rows and columns of the feature grid.
        token_size: Side of the grid of tokens of a region.

    Returns:
        (R, token_size ** 2) bool, on the CPU.
    """
    boxes_R4 = boxes_norm_xyxy.float().cpu()
    sizes_R2 = boxes_R4[:, 2:] - boxes_R4[:, :2]
    # Cells of a grid are exactly two wide only up to rounding.
    wide_R = (sizes_R2 * torch.tensor([grid[1], grid[0]]) > 2 - 1e-3).all(dim=1)
    steps = (torch.arange(token_size) + 0.5) / token_size
    columns, rows = (
        boxes_R4[:, axis, None] + sizes_R2[:, axis, None] * steps < img_shape[1 - axis] / canvas[1 - axis]
        for axis in (0, 1)
    )
    return ((rows[:, :, None] & columns[:, None, :]) & wide_R[:, None, None]).flatten(1)
