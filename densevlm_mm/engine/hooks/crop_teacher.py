"""The baselines' teacher: embeddings of image crops."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch import Tensor
from torchvision.ops import roi_align

from densevlm_mm.engine.hooks.cached_region_teacher import CachedRegionTeacherHook
from densevlm_mm.engine.hooks.region_teacher import RegionTeacherHook
from densevlm_mm.engine.teacher_cache import CacheOptions, FeatureRecords, GridPipeline, TargetCache
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.layers import boxes_to_rois, text_similarity
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample


@HOOKS.register_module()
class CropTeacherHook(CachedRegionTeacherHook):
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
        cache: Keep the features on disk: ``dict(path=..., dtype='float32')``, see docs/teacher_cache.md. To compute
            those of all cells would take 309 crops an image, so the grids are stored as they are asked for; a second
            run with the same seed asks for the same ones.
    """

    region_targets: tuple[str, ...] = ("teacher_features", "teacher_logits")
    asks_of_teacher = (*RegionTeacherHook.asks_of_teacher, "embed_dim", "image_size")
    cache_options = ("path", "dtype")
    fills_ahead = False

    def __init__(
        self,
        teacher: dict,
        crop_size: int | None = None,
        with_logits: bool = False,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        batch_size: int = 256,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        cache: dict | None = None,
    ) -> None:
        super().__init__(teacher, class_embeddings, with_text=with_logits, dtype=dtype, cache=cache)
        if not with_logits:
            self.region_targets = ("teacher_features",)
        for name, value in (("crop_size", crop_size), ("batch_size", batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be positive, got {value}.")
        self.crop_size = crop_size
        self.batch_size = batch_size

    def build_teacher(self, runner: Runner) -> None:
        """Build the teacher, and check that the loss can compare its features with the student's."""
        super().build_teacher(runner)
        model = unwrap_model(runner.model)
        model.loss_module.check_widths(model.encoder.embed_dim, self.teacher.embed_dim)

    def compute_targets(self, images: Tensor, boxes_norm_xyxy: Sequence[Tensor]) -> dict[str, Tensor]:
        """Embed the crops of all regions; see :meth:`RegionTeacherHook.compute_targets`."""
        return self._targets(self._embed(images, boxes_norm_xyxy))

    def _embed(self, images: Tensor, boxes_norm_xyxy: Sequence[Tensor]) -> Tensor:
        size = self.crop_size or self.teacher.image_size
        rois = boxes_to_rois(boxes_norm_xyxy, images.shape[-2:], images.device)
        images = self.teacher.normalize(images)
        features = [
            self.teacher(roi_align(images, chunk, output_size=size, sampling_ratio=-1, aligned=True)).float()
            for chunk in rois.split(self.batch_size)
        ]
        return F.normalize(torch.cat(features), dim=-1)

    def _targets(self, features_RD: Tensor) -> dict[str, Tensor]:
        targets = dict(teacher_features=features_RD)
        if self.with_text:
            targets["teacher_logits"] = text_similarity(features_RD, self.text)
        return targets

    def open_cache(
        self, runner: Runner, options: CacheOptions, pipeline: GridPipeline, facts: Mapping[str, Any]
    ) -> TargetCache:
        """Open the cache of crop features; see :meth:`CachedRegionTeacherHook.open_cache`."""
        targets = dict(
            kind="features of crops, by grid",
            crop_size=self.crop_size,
            batch_size=min(self.batch_size, max(pipeline.grid_sizes)),
            precision=self.precision,
            dtype=options.dtype,
        )
        return TargetCache(options.path, {**facts, "targets": targets}, pipeline, FeatureRecords(options.dtype))

    def record_unit(self, sample: RegionDataSample) -> str:
        """A record has the cells of one grid, which are those of a step; their digest names it."""
        return hashlib.sha256(sample.regions.cell_ids.numpy().tobytes()).hexdigest()

    def compute_records(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> list[Tensor]:
        """Embed the crops of the step's cells; see :meth:`CachedRegionTeacherHook.compute_records`."""
        boxes = [sample.regions.boxes_norm_xyxy for sample in data_samples]
        return list(self._embed(images, boxes).split([len(boxes_R4) for boxes_R4 in boxes]))

    def targets_of_records(self, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """See :meth:`CachedRegionTeacherHook.targets_of_records`."""
        parts = list(values) if self.takes_single_images else [torch.cat(list(values))]
        targets = [self._targets(features_RD) for features_RD in parts]
        return {name: torch.cat([part[name] for part in targets]) for name in targets[0]}
