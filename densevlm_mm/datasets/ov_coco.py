"""OV-COCO: COCO with 48 base and 17 novel classes, from the official annotation files.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

import logging
from typing import Any

from mmdet.datasets.coco import CocoDataset
from mmdet.registry import DATASETS
from mmengine.logging import print_log

from densevlm_mm.datasets.checked_coco import ClassOrderCocoDataset
from densevlm_mm.vocabulary.splits import check_split, load_split, novel_mask


@DATASETS.register_module()
class OVCocoDataset(ClassOrderCocoDataset):
    """COCO for open-vocabulary detection, in the 48/17 split of OVR-CNN (generalised setting: one label space of 65).

    Reads the official ``instances_train2017.json`` and ``instances_val2017.json``; no converted files. Labels are
    positions among the 65 classes, in training and in tests. Annotations of the other 15 COCO classes do not exist
    for it, and crowds are kept, to be ignored. An image without an annotation of the classes is dropped, also in test
    mode: in training (``drop_novel=True``) the base classes count, in tests all 65. The published counts are 107 761
    and 4 836 images.

    ``metainfo``: ``classes``, ``base_classes``, ``novel_classes``, ``palette``. Other data in COCO format can be split
    by giving the first three, in any order and spelling.

    Args:
        drop_novel: Drop the annotations of novel classes: True for training, False for tests. There is no default,
            because a wrong one would not be noticed.
        *args: As in :class:`ClassOrderCocoDataset`.
        **kwargs: As in :class:`ClassOrderCocoDataset`.

    Raises:
        ValueError: As :class:`ClassOrderCocoDataset`; no image is left, or ``metainfo`` has no proper split.
        FileNotFoundError: There is no such file.

    Example:
        >>> train = DATASETS.build(dict(type='OVCocoDataset', drop_novel=True, data_root='data/coco',
        ...     ann_file='annotations/instances_train2017.json', data_prefix=dict(img='train2017'), pipeline=[]))
    """

    _COLOURS = dict(zip(CocoDataset.METAINFO["classes"], CocoDataset.METAINFO["palette"], strict=True))
    METAINFO: dict[str, Any] = load_split("ov_coco_65")
    METAINFO["palette"] = list(map(_COLOURS.__getitem__, METAINFO["classes"]))

    def __init__(self, *args: Any, drop_novel: bool, **kwargs: Any) -> None:
        self.drop_novel = drop_novel
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations; see :class:`ClassOrderCocoDataset`."""
        check_split(self.metainfo, "metainfo of OVCocoDataset")
        data_list = super().load_data_list()
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

    def dropped_labels(self) -> set[int]:
        """Labels of the novel classes, if their annotations are to be dropped."""
        if not self.drop_novel:
            return set()
        is_novel = novel_mask(self.metainfo["classes"], self.metainfo["novel_classes"], "metainfo")
        return {label for label, held_out in enumerate(is_novel) if held_out}
