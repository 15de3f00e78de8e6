"""OV-LVIS: LVIS v1 with its 866 frequent and common classes as base and its 337 rare ones as novel.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from collections.abc import Sequence
from typing import Any

from mmdet.datasets.lvis import LVISV1Dataset
from mmdet.registry import DATASETS

from densevlm_mm.datasets.annotations.instances import InstanceFile
from densevlm_mm.datasets.checked_coco import ClassOrderCocoDataset
from densevlm_mm.datasets.lvis_categories import lvis_category_rows
from densevlm_mm.vocabulary.names import normal_form
from densevlm_mm.vocabulary.splits import load_split, split_metainfo


@DATASETS.register_module()
class OVLVISDataset(ClassOrderCocoDataset):
    """LVIS v1, or other data in its format, for open-vocabulary detection.

    Reads the official ``lvis_v1_train.json`` and ``lvis_v1_val.json``; no converted files. Labels are positions among
    the 1203 classes, in training and in tests, whatever the order of the file's categories. The file's ``frequency`` of
    a category decides: rare is novel. Training (``drop_novel=True``) drops the annotations of novel classes; an image
    that has no other is one without annotation for ``filter_cfg=dict(filter_empty_gt=True)``. Without ``drop_novel``
    nothing changes.

    ``metainfo``: ``classes``, ``base_classes``, ``novel_classes``. For files of other classes give ``classes``, in any
    order and spelling; the file may have more categories. The last two are those of the file when it has been read; for
    the official files they are the packaged ones.

    Args:
        drop_novel: Drop the annotations of novel classes: True for training, False for tests. There is no default,
            because a wrong one would not be noticed.
        *args: As in :class:`ClassOrderCocoDataset`. Image paths come from the file's ``coco_url``, which holds the
            folder: ``data_prefix=dict(img='')``. Where an image has none, from its ``file_name``.
        **kwargs: As in :class:`ClassOrderCocoDataset`.

    Raises:
        ValueError: As :class:`ClassOrderCocoDataset`; a class has no ``frequency`` in the file; ``metainfo`` names
            other novel classes than the file.
        FileNotFoundError: There is no such file.

    Example:
        >>> train = DATASETS.build(dict(type='OVLVISDataset', drop_novel=True, data_root='data/lvis',
        ...     ann_file='annotations/lvis_v1_train.json', data_prefix=dict(img=''), pipeline=[]))
    """

    METAINFO: dict[str, Any] = dict(LVISV1Dataset.METAINFO, **load_split("ov_lvis_1203"))

    LVIS = True

    def __init__(self, *args: Any, drop_novel: bool, **kwargs: Any) -> None:
        self.drop_novel = drop_novel
        self._rare_labels: set[int] = set()
        super().__init__(*args, **kwargs)

    def find_categories(self, file: InstanceFile) -> list[int]:
        """Category ids of the classes, in their order; writes the split into the metainfo."""
        classes = tuple(self._metainfo["classes"])
        frequencies = [category.frequency for category in file.categories]
        rows = lvis_category_rows([str(each.name) for each in file.categories], frequencies, classes, file.source)
        self._rare_labels = {label for label, row in enumerate(rows) if frequencies[row] == "r"}
        rare = [classes[label] for label in sorted(self._rare_labels)]
        check_given_split(self._metainfo, self.METAINFO, rare, file.source)
        self._metainfo.update(split_metainfo(classes, rare, file.source))
        return [file.categories[row].id for row in rows]

    def dropped_labels(self) -> set[int]:
        """Labels of the novel classes, if their annotations are to be dropped."""
        return self._rare_labels if self.drop_novel else set()


def check_given_split(metainfo: dict[str, Any], default: dict[str, Any], rare: Sequence[str], source: str) -> None:
    """Refuse novel classes that were given in the metainfo and are not the rare ones of the file."""
    given = metainfo.get("novel_classes")
    if given is not None and given != default["novel_classes"]:
        odd = set(map(normal_form, given)) ^ set(map(normal_form, rare))
        if odd:
            raise ValueError(
                f"{source}: its rare categories are the novel classes, but metainfo names others; look at "
                f"{sorted(odd)[:5]}. Leave novel_classes and base_classes out, or change the file's frequency"
            )
