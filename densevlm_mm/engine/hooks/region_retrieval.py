"""DenseVLM's teacher: categories for regions, retrieved from its dense features."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.hooks.cached_region_teacher import CachedRegionTeacherHook
from densevlm_mm.engine.hooks.region_teacher import RegionTeacherHook
from densevlm_mm.engine.teacher_cache import (
    CacheOptions,
    GridPipeline,
    LogitRecords,
    TargetCache,
    retrieval_temperature,
)
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.layers import pool_boxes, text_similarity
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample


@HOOKS.register_module()
class RegionRetrievalHook(CachedRegionTeacherHook):
    """Write ``regions.teacher_logits``, the cosines (R, K) of the teacher's region features with its class embeddings.

    One dense pass an image, RoIAlign of the grid cells, no image crops (Sec. 3.2). With a cache one pass an image and
    all epochs: that pass pools all cells of the grid mode.

    Args:
        teacher: Config of the frozen :class:`DenseImageEncoder` (P-VLM), or of another model with
            ``dense(images) -> (B, D, h, w)``.
        class_embeddings: See :class:`RegionTeacherHook`.
        input_size: Side in pixels to which the square canvas is resized (bicubic) for the teacher. Choose a multiple
            of its patch: 518 = 37 * 14 for ViT-L/14. ``None`` keeps the student's canvas; a side that is no multiple is
            then floored, which stretches regions by up to one patch (the published run: 512 at patch 14, 1.6 %).
        dtype: See :class:`TeacherHook`.
        cache: Keep the targets on disk: ``dict(path=..., dtype='float32', min_threshold=0.3)``, see
            :class:`CacheOptions` and docs/teacher_cache.md.

    Example:
        >>> hook = RegionRetrievalHook(teacher, cache=dict(path="data/teacher_cache"))
    """

    region_targets = ("teacher_logits",)
    asks_of_teacher = (*RegionTeacherHook.asks_of_teacher, "dense")

    def __init__(
        self,
        teacher: dict,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        input_size: int | None = None,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        cache: dict | None = None,
    ) -> None:
        super().__init__(teacher, class_embeddings, dtype=dtype, cache=cache)
        if input_size is not None and input_size < 1:
            raise ValueError(f"input_size is a side in pixels, got {input_size}.")
        self.input_size = input_size

    def compute_targets(self, images: Tensor, boxes_norm_xyxy: Sequence[Tensor]) -> dict[str, Tensor]:
        """Retrieve categories for all regions; see :meth:`RegionTeacherHook.compute_targets`."""
        return dict(teacher_logits=text_similarity(pool_boxes(self._dense(images), boxes_norm_xyxy), self.text))

    def _dense(self, images: Tensor) -> Tensor:
        if self.input_size is not None and images.shape[-1] != self.input_size:
            images = F.interpolate(images, size=(self.input_size, self.input_size), mode="bicubic", antialias=True)
        return self.teacher.dense(self.teacher.normalize(images))

    def open_cache(
        self, runner: Runner, options: CacheOptions, pipeline: GridPipeline, facts: Mapping[str, Any]
    ) -> TargetCache:
        """Open the cache of logits; see :meth:`CachedRegionTeacherHook.open_cache`."""
        temperature = retrieval_temperature(unwrap_model(runner.model).loss_module, options)
        records = LogitRecords(pipeline.num_cells, len(self.text), options.dtype, options.min_threshold, temperature)
        targets = dict(
            kind="logits of all cells",
            input_size=self.input_size,
            precision=self.precision,
            class_embeddings=hashlib.sha256(self.embeddings.embeddings.cpu().numpy().tobytes()).hexdigest(),
            dtype=options.dtype,
            min_threshold=options.min_threshold,
            temperature=temperature,
        )
        return TargetCache(options.path, {**facts, "targets": targets}, pipeline, records)

    def compute_records(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> list[Tensor]:
        """Compute the logits (C, K) of all cells; see :meth:`CachedRegionTeacherHook.compute_records`."""
        assert self.cache is not None
        pipeline = self.cache.pipeline
        features = pool_boxes(self._dense(images), [pipeline.cell_boxes(sample) for sample in data_samples])
        if not self.takes_single_images:
            return list(text_similarity(features, self.text).split(pipeline.num_cells))
        # A step has the cells of one grid, and the products are rounded as those of that grid alone.
        return [torch.cat([text_similarity(grid, self.text) for grid in features.split(pipeline.grid_sizes)])]

    def targets_of_records(self, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """See :meth:`CachedRegionTeacherHook.targets_of_records`."""
        return dict(teacher_logits=torch.cat(list(values)))
