"""Which image a sample is of, across runs, machines and orders of the data set."""

import os
from collections.abc import Iterable
from typing import Any

from densevlm_mm.structures import RegionDataSample


class ImageIdentity:
    """Identify images by path, size and time of modification.

    A data set whose images are no files (members of shards) says itself which image a sample is of: whatever stands as
    ``image_key``, a string, in its data list and in the sample's metainfo is taken instead. It must change when the
    content does.

    Args:
        data_roots: Folders that paths are taken relative to, so that another machine may have the data elsewhere.
    """

    def __init__(self, data_roots: Iterable[str] = ()) -> None:
        self.data_roots = tuple(os.path.join(root, "") for root in data_roots if root)

    def of_sample(self, sample: RegionDataSample) -> str:
        """Identity of a sample's image; see :meth:`of`."""
        return self.of(sample.get("img_path"), sample.get("image_key"))

    def of_info(self, info: dict[str, Any]) -> str:
        """Identity of an image by what the data set's list says of it; see :meth:`of`."""
        return self.of(info.get("img_path"), info.get("image_key"))

    def of(self, path: str | None, image_key: str | None = None) -> str:
        """Identity of an image.

        Args:
            path: Its file; not looked at if there is a key.
            image_key: What the data set calls it.

        Raises:
            ValueError: If there is neither, or the path is no local file.
        """
        if image_key is not None:
            return f"key {image_key}"
        if path is None:
            raise ValueError("a teacher cache needs img_path or image_key among the meta_keys of PackRegionInputs.")
        try:
            stat = os.stat(path)
        except OSError as error:
            raise ValueError(
                f"a teacher cache tells images apart by path, size and time of modification, and {path} is no local "
                "file: leave out the hook's cache, or let the data set give every sample an image_key."
            ) from error
        root = next((root for root in self.data_roots if path.startswith(root)), "")
        return f"file {path[len(root) :]} {stat.st_size} {stat.st_mtime_ns}"
