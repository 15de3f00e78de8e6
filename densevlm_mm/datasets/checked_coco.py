"""mmdet's data set of COCO files, on files that are checked, in a third of its memory.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from mmdet.datasets.coco import CocoDataset
from mmdet.datasets.objects365 import Objects365V1Dataset
from mmdet.registry import DATASETS

from densevlm_mm.datasets.annotations.handover import take_instances
from densevlm_mm.datasets.annotations.image_names import join_image_path
from densevlm_mm.datasets.annotations.instances import MAX_OVERHANG, InstanceFile
from densevlm_mm.datasets.annotations.problems import log_repair
from densevlm_mm.vocabulary.class_matching import category_rows


class PackedInstances(NamedTuple):
    """The n objects of an image, as they lie in memory until the image is drawn.

    Dicts of Python numbers, which mmdet's transforms want, take five times as much.
    """

    boxes_xyxy: np.ndarray  # (n, 4) float64
    labels: np.ndarray  # (n,) int64
    is_crowd: np.ndarray  # (n,) bool
    masks: bytes  # JSON list of n masks, null where there is none

    def unpack(self) -> list[dict[str, Any]]:
        """List the objects as mmdet does."""
        rows = zip(
            self.boxes_xyxy.tolist(),
            self.labels.tolist(),
            self.is_crowd.tolist(),
            msgspec.json.decode(self.masks),
            strict=True,
        )
        return [
            dict(ignore_flag=int(crowd), bbox=box, bbox_label=label) | (dict(mask=mask) if mask else {})
            for box, label, crowd, mask in rows
        ]


@DATASETS.register_module()
class ClassOrderCocoDataset(CocoDataset):
    """COCO's instances, checked before the first image; see :func:`read_instances` for what is checked and filled.

    Labels are positions in ``metainfo['classes']``, whatever the order of the file's categories. As in mmdet, crowds
    are kept, to be ignored, and boxes narrower than a pixel or beside the image are left out (which is logged).

    Args:
        *args: As in mmdet's ``CocoDataset``.
        max_overhang: Pixels that a box may reach over the border of its image.
        allowed_roots: Folders that absolute file names, and names with ``..``, may lead to.
        **kwargs: As in mmdet's ``CocoDataset``.

    Raises:
        ValueError: If the file is malformed, lacks one of the classes, has no object to train on, or has no masks
            although the pipeline loads them.
        FileNotFoundError: If there is no such file.

    Example:
        >>> val = DATASETS.build(dict(type='ClassOrderCocoDataset', data_root='data/coco', test_mode=True, pipeline=[],
        ...     ann_file='annotations/instances_val2017.json', data_prefix=dict(img='val2017')))
    """

    LVIS = False  # whether the file is in LVIS's format

    def __init__(
        self, *args: Any, max_overhang: float = MAX_OVERHANG, allowed_roots: Sequence[str] = (), **kwargs: Any
    ) -> None:
        self.max_overhang = max_overhang
        self.allowed_roots = tuple(allowed_roots)
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations.

        Returns:
            Dicts with ``img_id``, ``img_path``, ``height``, ``width``, ``seg_map_path`` and ``packed_instances``, from
            which ``get_data_info`` makes ``instances``.
        """
        file = take_instances(
            self.ann_file,
            lvis=self.LVIS,
            max_overhang=self.max_overhang,
            allow_any_path=bool(self.allowed_roots),
            backend_args=self.backend_args,
        )
        self.cat_ids = self.find_categories(file)
        self.cat2label = {category: label for label, category in enumerate(self.cat_ids)}
        labels = np.full(len(file.categories), -1)
        for row, category in enumerate(file.category_ids.tolist()):
            labels[row] = self.cat2label.get(category, -1)
        labels_N = labels[file.category_rows]
        labels_N[np.isin(labels_N, list(self.dropped_labels()))] = -1
        self._index_categories(file, labels_N)
        data_list = [self._parse_image(file, row) for row in range(len(file.images))]
        self._pack(file, labels_N, data_list)
        return data_list

    def filter_data(self) -> list[dict]:
        """Filter images as mmdet does, if that leaves any."""
        kept = super().filter_data()
        if not kept:
            raise ValueError(f"annotation file {self.ann_file} has no image that filter_cfg {self.filter_cfg} leaves")
        return kept

    def find_categories(self, file: InstanceFile) -> list[int]:
        """Category ids of the classes, in their order."""
        rows = category_rows(
            [str(category.name) for category in file.categories], self.metainfo["classes"], file.source
        )
        return [file.categories[row].id for row in rows]

    def dropped_labels(self) -> set[int]:
        """Labels whose annotations do not exist for this data set."""
        return set()

    def get_data_info(self, idx: int) -> dict:
        """Annotation of an image, as in mmdet.

        Args:
            idx: Index of the image.

        Returns:
            Dict with ``img_id``, ``img_path``, ``height``, ``width``, ``seg_map_path`` and ``instances`` (dicts with
            ``bbox`` xyxy in source pixels, ``bbox_label``, ``ignore_flag``, perhaps ``mask``).
        """
        info = super().get_data_info(idx)
        info["instances"] = info.pop("packed_instances").unpack()
        return info

    def _parse_image(self, file: InstanceFile, row: int) -> dict:
        image, name = file.images[row], file.file_names[row]
        record = dict(img_id=image.id, file_name=name, height=image.height, width=image.width)
        data_info = super().parse_data_info(dict(raw_img_info=record, raw_ann_info=[]))
        data_info["img_path"] = join_image_path(self.data_prefix["img"], name, file.source, self.allowed_roots)
        del data_info["instances"]
        return data_info

    def _index_categories(self, file: InstanceFile, labels_N: np.ndarray) -> None:
        """Note which images have annotations of a category, also of boxes that mmdet takes none of."""
        order = np.argsort(labels_N, kind="stable")
        bounds = np.searchsorted(labels_N[order], np.arange(len(self.cat_ids) + 1))
        image_ids = file.image_ids[file.image_rows[order]]
        self.cat_img_map = {
            category: image_ids[bounds[label] : bounds[label + 1]].tolist()
            for label, category in enumerate(self.cat_ids)
        }

    def _pack(self, file: InstanceFile, labels_N: np.ndarray, data_list: list[dict]) -> None:
        usable = (labels_N >= 0) & ~file.is_ignored
        left_out = usable & self._is_left_out(file)
        if left_out.any():
            first = file.name(int(np.flatnonzero(left_out)[0]))
            log_repair(
                file.source,
                f"left out {int(left_out.sum())} objects narrower than a pixel or beside their image, as mmdet does; "
                f"the first: {first}",
            )
        usable &= ~left_out
        self._check_usable(file, usable)
        rows = np.flatnonzero(usable)
        # Stable: the objects of an image stay in the file's order, which seeds of samplers refer to.
        rows = rows[np.argsort(file.image_rows[rows], kind="stable")]
        bounds = np.searchsorted(file.image_rows[rows], np.arange(len(data_list) + 1))
        boxes = file.boxes_xywh.copy()
        boxes[:, 2:] += boxes[:, :2]
        # Arrays and JSON text, unpacked when an image is loaded: dicts of all objects would stay in memory.
        for position, data_info in enumerate(data_list):
            of_image = rows[bounds[position] : bounds[position + 1]]
            masks = (bytes(file.masks[row]) if file.has_mask[row] else b"null" for row in of_image.tolist())
            data_info["packed_instances"] = PackedInstances(
                boxes[of_image], labels_N[of_image], file.is_crowd[of_image], b"[" + b",".join(masks) + b"]"
            )

    @staticmethod
    def _is_left_out(file: InstanceFile) -> np.ndarray:
        """Flags of the objects that mmdet takes for none."""
        sizes = np.array([(image.width, image.height) for image in file.images], dtype=np.float64)[file.image_rows]
        x1y1, width_height = file.boxes_xywh[:, :2], file.boxes_xywh[:, 2:]
        overlap = np.minimum(x1y1 + width_height, sizes) - np.maximum(x1y1, 0)
        return np.any(width_height < 1, axis=1) | np.any(overlap <= 0, axis=1) | (file.areas <= 0)

    def _check_usable(self, file: InstanceFile, usable: np.ndarray) -> None:
        objects = usable & ~file.is_crowd
        if not self.test_mode and not objects.any():
            raise ValueError(
                f"{file.source} has no object of the {len(self.cat_ids)} classes to train on: of {len(file.ids)} "
                f"annotations {int((usable & file.is_crowd).sum())} are crowds"
            )
        loads_masks = any(getattr(step, "with_mask", False) for step in self.pipeline.transforms)
        without = usable & ~file.has_mask
        if loads_masks and without.any():
            raise ValueError(
                f"{file.source}: {int(without.sum())} objects have no 'segmentation', which the pipeline loads "
                f"(with_mask=True); the first: {file.name(int(np.flatnonzero(without)[0]))}"
            )


@DATASETS.register_module()
class ClassOrderObjects365Dataset(ClassOrderCocoDataset):
    """Objects365 v1 with its 365 classes in mmdet's order.

    Args:
        *args: As in :class:`ClassOrderCocoDataset`.
        **kwargs: As in :class:`ClassOrderCocoDataset`.
    """

    METAINFO = Objects365V1Dataset.METAINFO
