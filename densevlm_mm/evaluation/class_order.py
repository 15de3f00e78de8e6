"""mmdet's COCO figures for classes in any order: every one is looked up by category id.

Not imported by ``densevlm_mm.evaluation``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.evaluation.metrics import CocoMetric
from mmdet.registry import METRICS

from densevlm_mm.datasets.annotations.instances import MAX_OVERHANG
from densevlm_mm.evaluation.ground_truth import load_coco
from densevlm_mm.vocabulary.class_matching import ClassFinder, category_rows
from densevlm_mm.vocabulary.names import check_distinct


@METRICS.register_module()
class ClassOrderCocoMetric(CocoMetric):
    """mmdet's ``CocoMetric``, right for any order of classes, categories and images.

    pycocotools sorts the ids of the categories that it evaluates, and mmdet takes the n-th of its figures for the n-th
    category of the annotation file. Label n is the n-th class of the data set here, whose category is the one of its
    name in whatever spelling, wherever it stands in the file. Predictions that carry the names of their labels
    (``label_names``) are matched by name too, so that the model's vocabulary may have an order of its own.

    Per-class figures (``classwise=True``) are called as the data set calls the classes.

    The file is checked, and what is missing in it filled in, see :func:`read_instances`.

    Args:
        ann_file: Annotations in COCO's format; None takes the ground truth from the data samples.
        *args: As in mmdet's ``CocoMetric``.
        max_overhang: Pixels that a box of ``ann_file`` may reach over the border of its image.
        **kwargs: As in mmdet's ``CocoMetric``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is malformed, or has no category, or several, of a class (before the first image); a
            prediction's name is none of the classes; ``proposal_fast``, which mmdet 3.3 cannot compute with numpy 1.24
            and newer and which pairs proposals with other images' objects unless both are in the order of the file.
    """

    COMPLETES_ANNOTATIONS = True

    def __init__(
        self, ann_file: str | None = None, *args: Any, max_overhang: float = MAX_OVERHANG, **kwargs: Any
    ) -> None:
        super().__init__(None, *args, **kwargs)
        self.max_overhang = max_overhang
        if ann_file is not None:
            self._load(ann_file)
        if "proposal_fast" in self.metrics:
            raise ValueError("proposal_fast of mmdet 3.3 goes by the order of the images: use metric='proposal'")
        self._source = f"annotation file {ann_file}"
        self.label_cat_ids: list[int] = []

    def _load(self, ann_file: str) -> None:
        self._coco_api = load_coco(ann_file, self.max_overhang, self.backend_args)

    @property
    def dataset_meta(self) -> dict | None:
        """Metainfo of the data set, set by the evaluation loop when it is built."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        self._dataset_meta = dataset_meta
        self._adopt_classes(dataset_meta)

    def _adopt_classes(self, dataset_meta: dict) -> None:
        classes = tuple(dataset_meta["classes"])
        check_distinct(classes, "classes of the data set")
        self._finder = ClassFinder(classes)
        self._label_of: dict[tuple[int, str], int] = {}
        self.label_cat_ids = self._categories_of(classes)
        self.cat_ids = sorted(self.label_cat_ids)  # as pycocotools has them

    def _categories_of(self, classes: Sequence[str]) -> list[int]:
        if self._coco_api is None:  # mmdet numbers the categories of the data samples' ground truth so
            return list(range(len(classes)))
        categories = self._coco_api.dataset["categories"]
        rows = category_rows([category["name"] for category in categories], classes, self._source)
        for row, name in zip(rows, classes, strict=True):
            categories[row]["name"] = name
        return [categories[row]["id"] for row in rows]

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the predictions of a batch, their labels those of the data set.

        Args:
            data_batch: Not used.
            data_samples: Dicts with ``img_id``, ``ori_shape`` and ``pred_instances``.
        """
        super().process(data_batch, [self._numbered_as_data_set(sample) for sample in data_samples])

    def _numbered_as_data_set(self, sample: dict) -> dict:
        predicted = sample["pred_instances"]
        if "label_names" not in predicted:
            return sample
        labels = predicted["labels"].tolist()
        numbers = [self._label(*each) for each in zip(labels, predicted["label_names"], strict=True)]
        if numbers == labels:
            return sample
        instances = {key: predicted[key] for key in predicted.keys()}  # noqa: SIM118 (InstanceData iterates otherwise)
        return {**sample, "pred_instances": {**instances, "labels": torch.tensor(numbers, dtype=torch.int64)}}

    def _label(self, label: int, name: str) -> int:
        if (label, name) not in self._label_of:
            found = self._finder.find_any(name)
            if label not in found and len(found) != 1:
                raise ValueError(
                    f"the model's class {label} is {name!r}, which is {'several' if found else 'none'} of the data "
                    f"set's {len(self._finder.classes)} classes; close to it: {self._finder.close(name)}. Test a model "
                    "on its own classes, or name them in its vocabulary as the data set does"
                )
            self._label_of[label, name] = label if label in found else found[0]
        return self._label_of[label, name]

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        """Write the predictions in COCO's format; see ``CocoMetric``."""
        in_order_of_ids, self.cat_ids = self.cat_ids, self.label_cat_ids
        try:
            return super().results2json(results, outfile_prefix)
        finally:
            self.cat_ids = in_order_of_ids
