"""OV-LVIS: LVIS v1 with its 866 frequent and common classes as base and its 337 rare ones as novel.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from collections.abc import Sequence
from typing import Any

from mmdet.datasets.lvis import LVISV1Dataset
from mmdet.registry import DATASETS

from densevlm_mm.datasets.annotations.instances import InstanceFile
from densevlm_mm.datasets.annotations.records import CategoryRecord
from densevlm_mm.datasets.checked_coco import ClassOrderCocoDataset
from densevlm_mm.vocabulary.splits import load_split, split_metainfo

# The official files misspell one name, which mmdet's class list corrects.
_MISSPELLED = {"speaker_(stero_equipment)": "speaker_(stereo_equipment)"}


@DATASETS.register_module()
class OVLVISDataset(ClassOrderCocoDataset):
    """LVIS v1 for open-vocabulary detection.

    Reads the official ``lvis_v1_train.json`` and ``lvis_v1_val.json``; no converted files. Labels are positions among
    the 1203 classes, in training and in tests. The file's ``frequency`` of a category decides: rare is novel. Training
    (``drop_novel=True``) drops the annotations of novel classes; an image that has no other is one without annotation
    for ``filter_cfg=dict(filter_empty_gt=True)``. Without ``drop_novel`` nothing changes.

    ``metainfo``: ``classes``, ``base_classes``, ``novel_classes``. The last two are replaced by those of the file when
    it has been read; for the official files they are the same.

    Args:
        drop_novel: drop the annotations of novel classes: True for training, False for tests. There is no default,
            because a wrong one would not be noticed.
        *args: as in :class:`ClassOrderCocoDataset`. Image paths come from the file's ``coco_url``, which holds the
            folder: ``data_prefix=dict(img='')``. Where an image has none, from its ``file_name``.
        **kwargs: as in :class:`ClassOrderCocoDataset`.

    Raises:
        ValueError: as :class:`ClassOrderCocoDataset`; the categories of the file are not the classes one by one, or
            have no ``frequency``.
        FileNotFoundError: there is no such file.

    Example:
        >>> train = DATASETS.build(dict(type='OVLVISDataset', drop_novel=True, data_root='data/lvis',
        ...     ann_file='annotations/lvis_v1_train.json', data_prefix=dict(img=''), pipeline=[]))
    """

    METAINFO: dict[str, Any] = dict(LVISV1Dataset.METAINFO, **load_split("ov_lvis_1203"))

    LVIS = True

    def __init__(self, *args: Any, drop_novel: bool, **kwargs: Any) -> None:
        self.drop_novel = drop_novel
        super().__init__(*args, **kwargs)

    def find_categories(self, file: InstanceFile) -> list[int]:
        """Category ids in the order of the file, which must be that of the classes."""
        self._adopt_split(file.categories, file.source)
        return file.category_ids.tolist()

    def dropped_labels(self) -> set[int]:
        """Labels of the novel classes, if their annotations are to be dropped."""
        classes = self._metainfo["classes"]
        return {classes.index(name) for name in self._metainfo["novel_classes"]} if self.drop_novel else set()

    def _adopt_split(self, categories: Sequence[CategoryRecord], source: str) -> None:
        """Check the categories, write the split into the metainfo."""
        classes = tuple(self._metainfo["classes"])
        names = tuple(_MISSPELLED.get(str(category.name), str(category.name)) for category in categories)
        if names != classes:
            pairs = zip(names, classes, strict=False)
            label = next((i for i, (name, cls) in enumerate(pairs) if name != cls), min(len(names), len(classes)))
            raise ValueError(
                f"{source} has {len(names)} categories, metainfo {len(classes)} classes, and they must agree one by "
                f"one; number {label} is {names[label : label + 1]} in the file and {classes[label : label + 1]} in "
                "metainfo. Is it an LVIS v1 file?"
            )
        wrong = [category.name for category in categories if category.frequency not in ("r", "c", "f")]
        if wrong:
            raise ValueError(f"{source}: {len(wrong)} categories have no frequency r, c or f, such as {wrong[:5]}")
        rare = [name for name, category in zip(names, categories, strict=True) if category.frequency == "r"]
        self._metainfo.update(split_metainfo(classes, rare, source))
