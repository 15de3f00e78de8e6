"""Targets of grid cells by image, in a store of records."""

import hashlib
from collections.abc import Mapping
from typing import Any, Protocol

from mmengine.dist import all_reduce_dict
from mmengine.logging import print_log
from torch import Tensor, tensor

from densevlm_mm.engine.teacher_cache.cache_key import cache_folder
from densevlm_mm.engine.teacher_cache.grid_pipeline import GridPipeline
from densevlm_mm.engine.teacher_cache.image_identity import ImageIdentity
from densevlm_mm.engine.teacher_cache.record_store import RecordStore
from densevlm_mm.structures import RegionDataSample

# Raise it when records, or what teachers compute, are no longer what they were.
VERSION = 1


class Records(Protocol):
    """How targets become bytes."""

    def encode(self, values: Tensor) -> bytes:
        """Make a record of float32 values on the CPU."""

    def decode(self, record: bytes, cell_ids: Tensor) -> Tensor:
        """Read the float32 values of some cells."""

    def difference(self, record: bytes, other: bytes) -> float:
        """Largest difference between two records of an image."""


class TargetCache:
    """Read and write the targets of images.

    Args:
        path: Folder of all caches.
        facts: What records depend on beside image and pipeline.
        pipeline: What makes the canvas of an image.
        records: How targets become bytes.

    Attributes:
        num_read: Images whose targets were read since the last :meth:`report`.
        num_computed: Images whose targets were computed.
    """

    def __init__(self, path: str, facts: Mapping[str, Any], pipeline: GridPipeline, records: Records) -> None:
        self.facts = dict(version=VERSION, **facts, transforms=pipeline.transforms)
        folder, sentence = cache_folder(path, self.facts)
        self.store = RecordStore(folder)
        self.pipeline = pipeline
        self.records = records
        self.identity = ImageIdentity(pipeline.data_roots)
        self.num_read = 0
        self.num_computed = 0
        print_log(f"{sentence}: {len(self.store):,} records", "current")

    def read(self, sample: RegionDataSample, unit: str = "") -> Tensor | None:
        """Read the targets of a sample's regions.

        Args:
            sample: With ``regions``.
            unit: Which of an image's records.

        Returns:
            (R, ...) float32 on the CPU, or None if there is no record that can be read.

        Raises:
            ValueError: If the regions are not the cells that they say they are, or the image is no file.
        """
        self.pipeline.check(sample)
        record = self.store.read(self.sample_key(sample, unit))
        if record is None:
            return None
        self.num_read += 1
        return self.records.decode(record, sample.regions.cell_ids)

    def add(self, sample: RegionDataSample, values: Tensor, unit: str = "") -> Tensor:
        """Write targets that have been computed.

        Args:
            sample: With ``regions``.
            values: What the record is made of.
            unit: Which of an image's records.

        Returns:
            The targets of the sample's regions as :meth:`read` gives them from now on, also if writing failed: a run
            does not depend on what was there.
        """
        record = self.records.encode(values.detach().float().cpu())
        self.store.write(self.sample_key(sample, unit), record)
        self.num_computed += 1
        return self.records.decode(record, sample.regions.cell_ids)

    def has_image(self, info: dict[str, Any]) -> bool:
        """Whether there is a record of an image of the data set's list, under the unit ``''``."""
        return _key(self.identity.of_info(info), "") in self.store

    def sample_key(self, sample: RegionDataSample, unit: str) -> bytes:
        """Key of a sample's record in the store."""
        return _key(self.identity.of_sample(sample), unit)

    def report(self) -> None:
        """Log what was read and computed by all processes, and take note of what other ones wrote."""
        names = dict(
            computed=self.num_computed,
            read=self.num_read,
            damaged=self.store.num_damaged,
            unwritten=self.store.num_unwritten,
        )
        counts = {name: tensor(float(value)) for name, value in names.items()}
        all_reduce_dict(counts)
        text = "teacher: {computed:,} images, cache: {read:,} images"
        text += ", {damaged:,} records damaged" * (counts["damaged"] > 0)
        text += ", {unwritten:,} records not written" * (counts["unwritten"] > 0)
        print_log(text.format(**{name: int(count) for name, count in counts.items()}), "current")
        self.num_read = self.num_computed = 0
        self.store.refresh()


def _key(identity: str, unit: str) -> bytes:
    return hashlib.blake2b(f"{identity}\n{unit}".encode(), digest_size=16).digest()
