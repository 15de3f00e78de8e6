"""A teacher cache filled ahead of training, compared with the teacher, and described."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from mmengine.registry import FUNCTIONS
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch.utils.data import DataLoader
from tqdm import tqdm

from densevlm_mm.apis.command_line import build_runner
from densevlm_mm.datasets.samplers import SampleIndex
from densevlm_mm.engine.hooks import CachedRegionTeacherHook
from densevlm_mm.engine.teacher_cache import TargetCache, flat_facts
from densevlm_mm.structures import RegionDataSample


class PreparedCache:
    """The teacher cache of an experiment, as its training would open it; closed at the end of a ``with``.

    Args:
        cfg: The experiment. Its precision is a part of the cache's key.

    Attributes:
        hook: The experiment's hook, its teacher built when it is first needed.
        cache: The hook's cache.
        dataset: The training data.

    Raises:
        ValueError: If the experiment has no hook with a cache, or does not allow one.
    """

    def __init__(self, cfg: Config) -> None:
        self.runner: Runner = build_runner(cfg)
        self.hook = _cached_hook(self.runner)
        self.runner.optim_wrapper = self.runner.build_optim_wrapper(self.runner.optim_wrapper)
        self.hook.before_train(self.runner)
        assert self.hook.cache is not None
        self.cache: TargetCache = self.hook.cache
        self.dataset: Any = self.runner.train_dataloader.dataset

    def __enter__(self) -> "PreparedCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.hook.after_train(self.runner)

    def missing(self) -> np.ndarray:
        """Indices of the images without a record among those of this process, which takes every n-th of n."""
        mine = range(get_rank(), len(self.dataset), get_world_size())
        return np.array([i for i in mine if not self.cache.has_image(self.dataset.get_data_info(i))], dtype=np.int64)

    def fill(self) -> int:
        """Compute the records of all images that have none; can be stopped and started again at any time.

        Returns:
            Number of images that this process computed.

        Raises:
            ValueError: If the hook's records are not those of images.
        """
        if not self.hook.fills_ahead:
            raise ValueError(
                f"{type(self.hook).__name__} stores what training asks for: features of {self.cache.pipeline.num_cells}"
                " crops an image would be computed, of which an epoch reads one grid. Train; the cache fills itself."
            )
        indices = self.missing()
        options = self.runner.cfg.train_dataloader
        loader: DataLoader = DataLoader(
            self.dataset,
            batch_size=options.batch_size,
            sampler=_FirstEpoch(indices),  # type: ignore[arg-type]
            num_workers=options.get("num_workers", 0),
            collate_fn=FUNCTIONS.get(options.get("collate_fn", dict(type="pseudo_collate"))["type"]),
        )
        share = len(range(get_rank(), len(self.dataset), get_world_size()))
        bar = tqdm(total=share, initial=share - len(indices), unit="image", disable=get_rank() > 0, file=sys.stderr)
        with bar:
            for batch in loader:
                self.hook.before_train_iter(self.runner, 0, batch)
                bar.update(len(batch["data_samples"]))
        return len(indices)

    def verify(self, count: int, seed: int = 0) -> "Verification":
        """Compute records again and compare.

        Args:
            count: How many, of images in random order.
            seed: Of the order.
        """
        result = Verification(0, 0, 0.0)
        for sample, canvas in self._stored(np.random.default_rng(seed).permutation(len(self.dataset))):
            if result.num_compared + result.num_damaged == count:
                break
            record = self.cache.store.read(self.cache.sample_key(sample, self.hook.record_unit(sample)))
            if record is None:
                result.num_damaged += 1
                continue
            (computed,) = self.hook.recompute(canvas[None].to(self.hook.device), [sample])
            result.num_compared += 1
            if computed != record:
                difference = self.cache.records.difference(record, computed)
                result.largest_difference = max(result.largest_difference, difference)
        return result

    def _stored(self, indices: np.ndarray) -> Iterator[tuple[RegionDataSample, torch.Tensor]]:
        """Samples that have a record; an image comes once for every record that it has."""
        for index in indices:
            item = self.dataset[SampleIndex(int(index), epoch=0)]
            if item is None:  # an unreadable image that the data set skips
                continue
            sample, seen = item["data_samples"], set()
            cells = torch.arange(self.cache.pipeline.num_cells)
            for cell_ids in cells.split(self.cache.pipeline.grid_sizes):
                boxes = self.cache.pipeline.cell_boxes(sample, cell_ids)
                sample.regions = InstanceData(boxes_norm_xyxy=boxes, cell_ids=cell_ids)
                key = self.cache.sample_key(sample, self.hook.record_unit(sample))
                if key not in seen and key in self.cache.store:
                    seen.add(key)
                    yield sample, item["inputs"]

    def describe(self) -> str:
        """Size, completeness and key of the cache."""
        store = self.cache.store
        num_bytes = sum(path.stat().st_size for path in store.folder.glob("*.records"))
        lines = [
            f"folder        {store.folder}",
            f"records       {len(store):,}",
            f"size          {num_bytes / 1e9:.3f} GB, {num_bytes / max(len(store), 1):,.0f} bytes a record",
        ]
        if self.hook.fills_ahead:
            infos = (self.dataset.get_data_info(i) for i in range(len(self.dataset)))
            found, total = sum(self.cache.has_image(info) for info in infos), len(self.dataset)
            lines.append(f"completeness  {found:,} of {total:,} training images ({100 * found / total:.1f} %)")
        lines += [f"key           {name} = {json.dumps(value)}" for name, value in flat_facts(self.cache.facts).items()]
        return "\n".join(lines)


@dataclass
class Verification:
    """What :meth:`PreparedCache.verify` found.

    Args:
        num_compared: Records that were computed again.
        num_damaged: Records that could not be read; training computes them anew.
        largest_difference: Of a cosine, a confidence or a feature.
    """

    num_compared: int
    num_damaged: int
    largest_difference: float


class _FirstEpoch:
    """A sampler of some images, with the grids of the first epoch."""

    def __init__(self, indices: np.ndarray) -> None:
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __iter__(self) -> Iterator[SampleIndex]:
        return (SampleIndex(int(index), epoch=0) for index in self.indices)


def _cached_hook(runner: Runner) -> CachedRegionTeacherHook:
    hooks = [hook for hook in runner.hooks if isinstance(hook, CachedRegionTeacherHook) and hook.cache_cfg is not None]
    if len(hooks) != 1:
        raise ValueError(
            f"{runner.cfg.filename} has {len(hooks)} hooks with a cache, and one is wanted: take a config such as "
            "configs/densevlm/pretrain_coco_cached.py, or give its teacher cache=dict(path='data/teacher_cache') (one "
            "that exists can be changed by --cfg-options default_hooks.teacher.cache.path=FOLDER)."
        )
    return hooks[0]
