"""Images with given regions instead of grid cells."""

import logging
import os
from collections.abc import Callable, Hashable, Sequence
from pathlib import PurePath
from typing import Literal

from mmengine import fileio
from mmengine.logging import print_log
from mmengine.utils import is_abs

from densevlm_mm.datasets.region_files import RegionFile, RegionImage, load_region_file
from densevlm_mm.datasets.unlabeled_images import UnlabeledImageDataset
from densevlm_mm.registry import DATASETS


@DATASETS.register_module()
class RegionProposalDataset(UnlabeledImageDataset):
    """Images of a JSON, folder or list with regions from a file: proposals (Table 11), annotations or pseudo labels.

    The transform :class:`~densevlm_mm.datasets.transforms.ProposalRegions` makes training regions of them, as
    GridRegions makes cells. Images without a region are left out; their number is logged, as is that of the regions
    that a filter drops.

    Where the region file has categories, ``metainfo`` has their names in ``classes`` (and ``is_thing``, if the file
    says it); :class:`RegionLabelHook` turns them into classes of the model.

    Args:
        source: See :class:`UnlabeledImageDataset`.
        region_file: JSON as :func:`load_region_file` reads it, relative to ``data_root``. Its images are those of
            ``source`` by id, or by file name if ``source`` is a folder or a list.
        min_size: Shortest side in source pixels that a region must have.
        min_score: Lowest score that a region must have; ``None`` does not look at scores.
        data_root: Root of ``source``, ``region_file`` and ``data_prefix``.
        data_prefix: See :class:`UnlabeledImageDataset`.
        pipeline: Transforms.
        on_error: See :class:`UnlabeledImageDataset`, like the arguments that follow.
        max_skipped: Most unreadable images that are tolerated with ``skip``.
        indices: The first so many images with regions (int), or these (sequence).
        serialize_data: Keep the list as one buffer that the workers share.
        test_mode: As in ``BaseDataset``.
        lazy_init: Leave reading the files for later.
        backend_args: Arguments of mmengine's file backend for both files.
        allowed_roots: Folders that absolute paths, and paths with ``..``, may lead to.

    Raises:
        ValueError: The region file is malformed, or belongs to other images.
        FileNotFoundError: a file does not exist.

    Example:
        >>> images = RegionProposalDataset('annotations/instances_train2017.json', 'proposals_train2017.json',
        ...                                data_root='data/coco', data_prefix=dict(img='train2017'))
    """

    METAINFO = dict(dataset_type="region_proposals")

    def __init__(
        self,
        source: str,
        region_file: str,
        min_size: float = 1,
        min_score: float | None = None,
        data_root: str = "",
        data_prefix: dict | None = None,
        pipeline: Sequence[dict | Callable] = (),
        on_error: Literal["raise", "skip"] = "raise",
        max_skipped: int = 100,
        indices: int | Sequence[int] | None = None,
        serialize_data: bool = True,
        test_mode: bool = False,
        lazy_init: bool = False,
        backend_args: dict | None = None,
        allowed_roots: Sequence[str] = (),
    ) -> None:
        if min_size < 0:
            raise ValueError(f"min_size is a side in pixels, not {min_size}")
        self.region_file = region_file
        self.min_size = min_size
        self.min_score = min_score
        super().__init__(
            source,
            data_root,
            data_prefix,
            pipeline,
            on_error=on_error,
            max_skipped=max_skipped,
            indices=indices,
            serialize_data=serialize_data,
            test_mode=test_mode,
            lazy_init=lazy_init,
            backend_args=backend_args,
            allowed_roots=allowed_roots,
        )

    def load_data_list(self) -> list[dict]:
        """List the images that have regions.

        Returns:
            Dicts with ``img_id``, ``img_path``, ``proposals`` (an :class:`ImageRegions`) and, where the region file
            says them, ``height`` and ``width``.
        """
        path = self.region_file
        if self.data_root and not is_abs(path):
            path = fileio.join_path(self.data_root, path)
        regions = load_region_file(path, self.min_size, self.min_score, self.backend_args)
        images = super().load_data_list()
        data_list = []
        for image in images:
            known_as = self._name_in(regions, image)
            proposals = regions.of_image(known_as)
            if proposals is None:
                continue
            record = regions.images.get(known_as, RegionImage())
            self._check_same_file(image, record, path)
            sizes = dict(height=record.height, width=record.width) if record.height and record.width else {}
            data_list.append(dict(**image, proposals=proposals, **sizes))
        if not data_list:
            known = [repr(key) for key in list(regions.regions)[:3]]
            raise ValueError(
                f"no image of {self.ann_file} has a region in {path}: its images are called {images[0]['img_id']!r} "
                f"..., those with regions {', '.join(known) or 'nothing, there are none'}. A file without 'images' "
                "needs the json as source whose ids it has"
            )
        self._log(len(images) - len(data_list), len(regions.regions) - len(data_list), regions.dropped, path)
        if regions.classes:
            self._metainfo["classes"] = regions.classes
        if regions.is_thing is not None:
            self._metainfo["is_thing"] = regions.is_thing
        return data_list

    def _name_in(self, regions: RegionFile, image: dict) -> Hashable:
        """What the region file calls an image: its id, else its path below the folder of the images."""
        if image["img_id"] in regions.regions or image["img_id"] in regions.images:
            return image["img_id"]
        return os.path.relpath(image["img_path"], self.data_prefix["img"] or ".")

    def _check_same_file(self, image: dict, record: RegionImage, path: str) -> None:
        names = PurePath(image["img_path"]).name, PurePath(record.file_name or image["img_path"]).name
        if names[0] != names[1]:
            raise ValueError(
                f"image {image['img_id']!r} is {names[0]} in {self.ann_file} but {names[1]} in {path}: the region file "
                "belongs to other images"
            )

    def _log(self, num_without: int, num_foreign: int, dropped: dict[str, int], path: str) -> None:
        if num_without:
            print_log(f"left out {num_without} images without a region in {path}", "current", logging.WARNING)
        if num_foreign:
            print_log(f"{path} has regions of {num_foreign} images that are not in {self.ann_file}", "current")
        for reason, count in dropped.items():
            print_log(f"left out {count} regions of {path}: {reason}", "current", logging.WARNING)
