"""OV-COCO: COCO with 48 base and 17 novel classes, from the official annotation files.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

import logging
from collections.abc import Sequence
from typing import Any

from mmdet.datasets.api_wrappers import COCO
from mmdet.datasets.coco import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from densevlm_mm.datasets.annotation_files import require_existing
from densevlm_mm.vocabulary.class_matching import category_rows
from densevlm_mm.vocabulary.splits import check_split, load_split, novel_mask


def category_ids(coco: COCO, classes: Sequence[str], source: str) -> list[int]:
    """Category ids of classes, in the order of the classes; see :func:`category_rows`.

    ``COCO.get_cat_ids`` gives them in the order of the file and passes over names that the file lacks or spells
    otherwise, so that labels would silently mean other classes.
    """
    categories = coco.dataset["categories"]
    rows = category_rows([category["name"] for category in categories], classes, source)
    return [categories[row]["id"] for row in rows]


class _ClassOrderCOCO(COCO):
    """COCO annotations whose ids follow the order of the names asked for."""

    def __init__(self, annotation_file: str) -> None:
        self._source = f"instance annotation file {annotation_file}"
        super().__init__(annotation_file)

    def get_cat_ids(self, cat_names: Sequence[str] = (), sup_names: Any = (), cat_ids: Any = ()) -> list[int]:
        return category_ids(self, cat_names, self._source)


@DATASETS.register_module()
class OVCocoDataset(CocoDataset):
    """COCO for open-vocabulary detection, in the 48/17 split of OVR-CNN (generalised setting: one label space of 65).

    Reads the official ``instances_train2017.json`` and ``instances_val2017.json``; no converted files. Labels are
    positions among the 65 classes, in training and in tests. Annotations of the other 15 COCO classes do not exist
    for it, and crowds are kept, to be ignored. An image without an annotation of the classes is dropped, also in test
    mode: in training (``drop_novel=True``) the base classes count, in tests all 65. The published counts are 107 761
    and 4 836 images.

    ``metainfo``: ``classes``, ``base_classes``, ``novel_classes``, ``palette``. Other data in COCO format can be split
    by giving the first three, in any order and spelling.

    Args:
        drop_novel: drop the annotations of novel classes: True for training, False for tests. There is no default,
            because a wrong one would not be noticed.
        *args: as in mmdet's ``CocoDataset``.
        **kwargs: as in mmdet's ``CocoDataset``.

    Raises:
        ValueError: the file lacks one of the classes, no image is left, or ``metainfo`` has no proper split.
        FileNotFoundError: there is no such file.

    Example:
        >>> train = DATASETS.build(dict(type='OVCocoDataset', drop_novel=True, data_root='data/coco',
        ...     ann_file='annotations/instances_train2017.json', data_prefix=dict(img='train2017'), pipeline=[]))
    """

    _COLOURS = dict(zip(CocoDataset.METAINFO["classes"], CocoDataset.METAINFO["palette"], strict=True))
    METAINFO: dict[str, Any] = load_split("ov_coco_65")
    METAINFO["palette"] = list(map(_COLOURS.__getitem__, METAINFO["classes"]))
    COCOAPI = _ClassOrderCOCO

    def __init__(self, *args: Any, drop_novel: bool, **kwargs: Any) -> None:
        self.drop_novel = drop_novel
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations.

        Returns:
            As in ``CocoDataset``: dicts with ``img_id``, ``img_path``, ``height``, ``width`` and ``instances`` (dicts
            with ``bbox`` xyxy in source pixels, ``bbox_label``, ``ignore_flag``, perhaps ``mask``).
        """
        check_split(self.metainfo, "metainfo of OVCocoDataset")
        require_existing(self.ann_file, "instance annotation file", self.backend_args)
        data_list = super().load_data_list()
        if self.drop_novel:
            is_novel = novel_mask(self.metainfo["classes"], self.metainfo["novel_classes"], "metainfo")
            novel = {label for label, held_out in enumerate(is_novel) if held_out}
            drop_labels(data_list, novel)
            for label in novel:
                self.cat_img_map[self.cat_ids[label]] = []
        # By annotations rather than instances, from which mmdet leaves out degenerate boxes: their images are in the
        # published lists, and in tests the metric expects detections in them.
        annotated = {image for category in self.cat_ids for image in self.cat_img_map[category]}
        kept = [data_info for data_info in data_list if data_info["img_id"] in annotated]
        classes = "base classes" if self.drop_novel else "classes"
        if not kept:
            raise ValueError(
                f"instance annotation file {self.ann_file} has no image with an annotation of the {classes}"
            )
        print_log(
            f"{self.ann_file}: {len(kept)} of {len(data_list)} images have an annotation of the {classes}",
            "current",
            logging.INFO,
        )
        return kept


def drop_labels(data_list: Sequence[dict], labels: set[int]) -> None:
    """Remove the instances of these labels from mmdet's data list, in place."""
    for data_info in data_list:
        data_info["instances"] = [
            instance for instance in data_info["instances"] if instance["bbox_label"] not in labels
        ]
