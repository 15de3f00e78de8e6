"""OV-LVIS: LVIS v1 with its 866 frequent and common classes as base and its 337 rare ones as novel.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from collections.abc import Sequence
from typing import Any

from mmdet.datasets.lvis import LVISV1Dataset
from mmdet.registry import DATASETS

from densevlm_mm.datasets.annotation_files import require_existing
from densevlm_mm.datasets.lvis_categories import lvis_category_rows
from densevlm_mm.vocabulary.names import normal_form
from densevlm_mm.vocabulary.splits import load_split, split_metainfo


@DATASETS.register_module()
class OVLVISDataset(LVISV1Dataset):
    """LVIS v1, or other data in its format, for open-vocabulary detection.

    Reads the official ``lvis_v1_train.json`` and ``lvis_v1_val.json``; no converted files. Labels are positions among
    the 1203 classes, in training and in tests, whatever the order of the file's categories. The file's ``frequency`` of
    a category decides: rare is novel. Training (``drop_novel=True``) drops the annotations of novel classes; an image
    that has no other is one without annotation for ``filter_cfg=dict(filter_empty_gt=True)``. Without ``drop_novel``
    nothing changes.

    Reading the annotations needs the package ``lvis``; importing this module does not.

    ``metainfo``: ``classes``, ``base_classes``, ``novel_classes``. For files of other classes give ``classes``, in any
    order and spelling; the file may have more categories. The last two are those of the file when it has been read; for
    the official files they are the packaged ones.

    Args:
        drop_novel: drop the annotations of novel classes: True for training, False for tests. There is no default,
            because a wrong one would not be noticed.
        *args: as in mmdet's ``LVISV1Dataset``.
        **kwargs: as in mmdet's ``LVISV1Dataset``. Image paths come from the file's ``coco_url``, which holds the
            folder: ``data_prefix=dict(img='')``.

    Raises:
        ValueError: the file has no category, or several, of a class, or one without ``frequency``; ``metainfo`` names
            other novel classes than the file.
        FileNotFoundError: there is no such file.

    Example:
        >>> train = DATASETS.build(dict(type='OVLVISDataset', drop_novel=True, data_root='data/lvis',
        ...     ann_file='annotations/lvis_v1_train.json', data_prefix=dict(img=''), pipeline=[]))
    """

    METAINFO: dict[str, Any] = dict(LVISV1Dataset.METAINFO, **load_split("ov_lvis_1203"))

    def __init__(self, *args: Any, drop_novel: bool, **kwargs: Any) -> None:
        self.drop_novel = drop_novel
        self._novel_cat_ids: set[int] | None = None  # known once the file is open
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations.

        Returns:
            As in ``LVISV1Dataset``: dicts with ``img_id``, ``img_path``, ``height``, ``width`` and ``instances`` (dicts
            with ``bbox`` xyxy in source pixels, ``bbox_label``, ``ignore_flag``, ``mask``).
        """
        require_existing(self.ann_file, "LVIS annotation file", self.backend_args)
        data_list = super().load_data_list()
        if self.drop_novel:
            for category in self._novel_cat_ids or ():
                self.cat_img_map[category] = []  # what filter_empty_gt goes by
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse one image, without the annotations of novel classes if they are to be dropped."""
        if self._novel_cat_ids is None:  # here, because LVISV1Dataset opens and forgets the file in one method
            self._novel_cat_ids = self._adopt_split(list(self.lvis.cats.values()))
        if self.drop_novel:
            annotations = raw_data_info["raw_ann_info"]
            kept = [annotation for annotation in annotations if annotation["category_id"] not in self._novel_cat_ids]
            raw_data_info = dict(raw_data_info, raw_ann_info=kept)
        return super().parse_data_info(raw_data_info)

    def _adopt_split(self, categories: Sequence[dict]) -> set[int]:
        """Number the labels, write the split into the metainfo, return the ids of the novel categories."""
        source = f"LVIS annotation file {self.ann_file}"
        classes = tuple(self._metainfo["classes"])
        frequencies = [category.get("frequency") for category in categories]
        rows = lvis_category_rows([category["name"] for category in categories], frequencies, classes, source)
        self.cat_ids = [categories[row]["id"] for row in rows]
        self.cat2label = {category: label for label, category in enumerate(self.cat_ids)}
        rare = [name for name, row in zip(classes, rows, strict=True) if frequencies[row] == "r"]
        check_given_split(self._metainfo, self.METAINFO, rare, source)
        self._metainfo.update(split_metainfo(classes, rare, source))
        return {categories[row]["id"] for row in rows if frequencies[row] == "r"}


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
