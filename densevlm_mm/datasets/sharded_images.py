"""Images of tar shards, for a pretraining on more of them than fit into folders."""

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal

from mmengine.dataset import Compose
from torch.utils.data import Dataset

from densevlm_mm.datasets.file_listing import missing_files, summarize
from densevlm_mm.datasets.shards.index import ShardIndex
from densevlm_mm.datasets.shards.shard_files import ShardFiles
from densevlm_mm.datasets.skipped_images import UnreadableImagePolicy
from densevlm_mm.registry import DATASETS


@DATASETS.register_module()
class ShardedImages(UnreadableImagePolicy, Dataset):
    """Images of webdataset tar shards: any tar files with images, such as SA-1B's; annotations are never read.

    An image is read by its place, which an index knows (``tools/dataset_converters/images_to_shards.py index``), so
    that a run can stop and go on at any image; the order in which shards are read side by side is
    :class:`~densevlm_mm.datasets.samplers.ShardSampler`'s. Nothing is listed in memory but the shards. ``img_id`` is
    shard and name, ``img_path`` the same below ``data_prefix``, and ``image_key`` adds size and time of modification.

    What is done with an unreadable image: :class:`UnreadableImagePolicy`. A missing or changed shard is an error with
    either policy.

    Args:
        source: The index, relative to ``data_root``.
        data_root: Root of ``source`` and ``data_prefix``.
        data_prefix: ``img``: folder or address that the shards' names are relative to; default: that of the index.
        shards: Which shards of the index, with braces: ``'sa_{000000..000099}.tar'``; default: all.
        pipeline: Transforms.
        on_error: ``raise`` or ``skip``.
        max_skipped: Most unreadable images that are tolerated with ``skip``.
        cache_dir: Local folder that shards of an address are fetched to.
        cache_bytes: Most that it holds, or None.

    Raises:
        FileNotFoundError: If the index or a local shard does not exist.
        ValueError: If an argument is unknown, the index is none or lacks a shard, or (from an item) a shard is not the
            one that was indexed, or too many images are unreadable.
        UnreadableImageError: From an item, with ``on_error='raise'``; names shard and member.

    Example:
        >>> images = ShardedImages('shards.json', data_root='data/sa1b', shards='sa_{000000..000008}.tar')
    """

    METAINFO = dict(dataset_type="sharded_images")

    def __init__(
        self,
        source: str,
        data_root: str = "",
        data_prefix: dict | None = None,
        shards: str | None = None,
        pipeline: Sequence[dict | Callable] = (),
        on_error: Literal["raise", "skip"] = "raise",
        max_skipped: int = 100,
        cache_dir: str | None = None,
        cache_bytes: int | None = None,
    ) -> None:
        self.set_policy(on_error, max_skipped)
        self.source = source
        self.data_root = data_root
        self.metainfo = dict(self.METAINFO)
        self.pipeline = Compose(list(pipeline))
        self.index = ShardIndex(os.path.join(data_root, source), shards)
        prefix = (data_prefix or {}).get("img")
        if prefix is None:
            prefix = str(self.index.path.parent)
        elif "://" not in prefix:
            prefix = os.path.join(data_root, prefix)
        self.files = ShardFiles(prefix, cache_dir, cache_bytes)
        missing = missing_files([self.files.path(name) for name in self.index.names])
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(self.index.names)} shards of {self.index.path} do not exist: "
                f"{summarize(missing)}. Fetch them, choose others with shards=..., or say where they are with "
                "data_prefix=dict(img=...)"
            )

    @property
    def shard_lengths(self) -> Any:
        """(N,) int64 array, images of each shard, in the order of the indices."""
        return self.index.lengths

    @property
    def order_digest(self) -> int:
        """What an order of the images depends on beside its seed."""
        return self.index.digest

    def full_init(self) -> None:
        """Do nothing: there is no list to load."""

    def __len__(self) -> int:
        """Number of images."""
        return len(self.index)

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """Describe an image without reading it.

        Args:
            idx: Index of the image.
        """
        member = self.index.member(int(idx))
        return dict(
            img_id=member.path,
            img_path=self.files.path(member.path),
            image_key=f"{member.path} {member.size} {member.mtime}",
            sample_idx=int(idx),
        )

    def read_info(self, idx: int) -> dict[str, Any]:
        """Describe an image and read it: ``img_bytes``."""
        shard, _ = self.index.place(int(idx))
        content = self.files.read(self.index.member(int(idx)), int(self.index.file_sizes[shard]))
        return dict(self.get_data_info(idx), img_bytes=content)

    def __getitem__(self, idx: int) -> Any:
        """Sample of the pipeline, or ``None`` for an image that is skipped."""
        return self.prepare_data(idx)
