"""A teacher that sees an image once."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.hooks.region_teacher import RegionTeacherHook
from densevlm_mm.engine.teacher_cache import (
    CacheOptions,
    GridPipeline,
    TargetCache,
    facts_of_config,
    facts_of_module,
    grid_pipeline,
)
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.structures import RegionDataSample


class CachedRegionTeacherHook(RegionTeacherHook):
    """Base of the region teachers whose targets can be kept on disk, see docs/teacher_cache.md.

    With a cache the teacher runs on the images that have no record, and is built when the first such image comes.

    Args:
        teacher: See :class:`TeacherHook`.
        class_embeddings: See :class:`RegionTeacherHook`.
        with_text: See :class:`RegionTeacherHook`.
        dtype: See :class:`TeacherHook`.
        cache: Options of :class:`CacheOptions`, or None for no cache.

    Attributes:
        cache_options: Names of the options that the hook's cache knows.
        fills_ahead: Whether an image has one record, which tools/cache_teacher.py can make before it is asked for.
        cache: The cache while training, else None.
    """

    cache_options: tuple[str, ...] = ("path", "dtype", "min_threshold")
    fills_ahead = True

    def __init__(
        self,
        teacher: dict,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        with_text: bool = True,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
        cache: dict | None = None,
    ) -> None:
        super().__init__(teacher, class_embeddings, with_text, dtype)
        self.cache_cfg = None if cache is None else CacheOptions.from_config(cache, self.cache_options)
        self.cache: TargetCache | None = None

    def before_train(self, runner: Runner) -> None:
        """Open the cache; build the teacher if there is none, or if only the teacher tells what its weights are.

        Raises:
            ValueError: If the data, the loss or the teacher do not allow a cache; see docs/teacher_cache.md.
        """
        if self.cache_cfg is None:
            super().before_train(runner)
            return
        self.settle(runner)
        pipeline = grid_pipeline(runner.train_dataloader.dataset)
        if self.with_text:
            self.resolve_text(runner)
        facts = facts_of_config(self.teacher_cfg, self.cache_cfg.path)
        if facts is None:
            self.build_teacher(runner)
            facts = facts_of_module(self.teacher, self.teacher_cfg)
        self._runner = runner
        self.cache = self.open_cache(runner, self.cache_cfg, pipeline, dict(teacher=facts))

    @property
    def precision(self) -> str:
        """Name of the type that the teacher computes in."""
        return str(self.autocast_dtype).removeprefix("torch.")

    @abstractmethod
    def open_cache(
        self, runner: Runner, options: CacheOptions, pipeline: GridPipeline, facts: Mapping[str, Any]
    ) -> TargetCache:
        """Open the cache of this hook's targets.

        Args:
            runner: For what else the targets depend on.
            options: The user's.
            pipeline: Of the training data.
            facts: What is known of the teacher, for the key.
        """

    def record_unit(self, sample: RegionDataSample) -> str:
        """Which of an image's records has the targets of a sample's regions; by default there is one."""
        return ""

    @abstractmethod
    def compute_records(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> list[Tensor]:
        """Compute what the records of images are made of.

        Args:
            images: RGB canvases (B, 3, S, S), float32 in 0-255; one of them if ``takes_single_images``.
            data_samples: B samples.

        Returns:
            What :meth:`TargetCache.add` takes, for each sample.
        """

    @abstractmethod
    def targets_of_records(self, values: Sequence[Tensor]) -> dict[str, Tensor]:
        """Make the targets of a step of what the cache gives.

        Args:
            values: For each image (R_i, ...) float32, on the device.

        Returns:
            Name of the target to tensor (sum R_i, ...).
        """

    def process(self, canvases: Tensor, data_samples: Sequence[RegionDataSample]) -> None:
        """Write the targets, from the cache where it has them."""
        if self.cache is None:
            super().process(canvases, data_samples)
            return
        values = [self.cache.read(sample, self.record_unit(sample)) for sample in data_samples]
        missing = [place for place, value in enumerate(values) if value is None]
        size = 1 if self.takes_single_images else max(len(missing), 1)
        for start in range(0, len(missing), size):
            places = missing[start : start + size]
            for place, value in zip(places, self._compute(canvases, data_samples, places), strict=True):
                sample = data_samples[place]
                values[place] = self.cache.add(sample, value, self.record_unit(sample))
        on_device = [value.to(self.device, non_blocking=True) for value in values if value is not None]
        self.write_region_targets(data_samples, self.targets_of_records(on_device))

    def recompute(self, canvases: Tensor, data_samples: Sequence[RegionDataSample]) -> list[bytes]:
        """Compute records of images again, to compare them with those of the cache.

        Args:
            canvases: See :meth:`process`.
            data_samples: B samples.
        """
        assert self.cache is not None
        size = 1 if self.takes_single_images else len(canvases)
        with self.autocast():
            values = [
                value
                for start in range(0, len(canvases), size)
                for value in self._compute(canvases, data_samples, list(range(start, min(start + size, len(canvases)))))
            ]
        return [self.cache.records.encode(value.float().cpu()) for value in values]

    def _compute(
        self, canvases: Tensor, data_samples: Sequence[RegionDataSample], places: Sequence[int]
    ) -> list[Tensor]:
        if self.teacher is None:
            print_log("the teacher is built for the images that the cache does not have", "current")
            self.build_teacher(self._runner)
        images = canvases[list(places)].flip(1).float()
        return self.compute_records(images, [data_samples[place] for place in places])

    def after_train_epoch(self, runner: Runner) -> None:
        """Log how often the teacher ran."""
        if self.cache is not None:
            self.cache.report()

    def after_train(self, runner: Runner) -> None:
        """Free the teacher and close the cache."""
        super().after_train(runner)
        if self.cache is not None:
            self.cache.store.close()
        self.cache = self._runner = None
