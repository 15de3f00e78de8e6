"""Ground truth of mmdet's metrics from annotation files that were checked.

Not imported by ``densevlm_mm.evaluation``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

import contextlib
import io
from typing import Any

from lvis import LVIS
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation.metrics import LVISMetric
from mmdet.registry import METRICS

from densevlm_mm.datasets.annotations.instances import MAX_OVERHANG, InstanceFile, read_instances
from densevlm_mm.datasets.annotations.json_files import name_image, read_json
from densevlm_mm.datasets.annotations.problems import Problems, log_repair


def load_coco(ann_file: str, max_overhang: float = MAX_OVERHANG, backend_args: dict | None = None) -> COCO:
    """Load a file for pycocotools, checked and completed as :func:`read_instances` does.

    Args:
        ann_file: Path or URI.
        max_overhang: Pixels that a box may reach over the border of its image.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is malformed.
    """
    file = read_instances(ann_file, max_overhang=max_overhang, allow_any_path=True, backend_args=backend_args)
    coco = COCO()
    coco.dataset = _completed(ann_file, file, backend_args)
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        coco.createIndex()
    coco.img_ann_map, coco.cat_img_map = coco.imgToAnns, coco.catToImgs
    return coco


class _CheckedLVIS(LVIS):
    """lvis' index of a file, checked and completed."""

    def __init__(self, ann_file: str, max_overhang: float, backend_args: dict | None) -> None:
        self._options: dict[str, Any] = dict(max_overhang=max_overhang, backend_args=backend_args)
        super().__init__(ann_file)

    def _load_json(self, path: str) -> dict:
        file = read_instances(path, lvis=True, allow_any_path=True, **self._options)
        problems = Problems(file.source)
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            problems.add(
                [getattr(image, key) is None for image in file.images],
                f"{key!r} is missing",
                lambda row: name_image(file.images[row].id, file.file_names[row]),
                "LVIS's evaluation needs it of every image; [] where nothing is known",
            )
        problems.add(
            [category.frequency not in ("r", "c", "f") for category in file.categories],
            "'frequency' is not r, c or f",
            lambda row: f"category {file.categories[row].id} ({file.categories[row].name})",
        )
        problems.raise_if_any()
        return _completed(path, file, self._options["backend_args"])


def _completed(path: str, file: InstanceFile, backend_args: dict | None) -> dict:
    """The content as dicts, with what was filled in."""
    content: dict = read_json(path, "annotation file", dict, backend_args)
    annotations = content["annotations"]
    for annotation, area, crowd in zip(annotations, file.areas.tolist(), file.is_crowd.tolist(), strict=True):
        annotation["area"], annotation["iscrowd"] = area, int(crowd)
    zero = [annotation for annotation in annotations if annotation["id"] == 0]
    if zero:
        # To pycocotools and lvis a match with number 0 is no match: a detection that is right would count as wrong.
        zero[0]["id"] = max(annotation["id"] for annotation in annotations) + 1
        log_repair(file.source, f"annotation 0 counts as number {zero[0]['id']}, since the evaluation takes 0 for none")
    return content


@METRICS.register_module()
class CheckedLVISMetric(LVISMetric):
    """mmdet's ``LVISMetric`` on a checked file.

    Args:
        ann_file: LVIS annotations.
        max_overhang: Pixels that a box may reach over the border of its image.
        **kwargs: As in mmdet's ``LVISMetric``.

    Raises:
        ValueError: If the file is malformed, or lacks what LVIS's evaluation needs.
        FileNotFoundError: If there is no such file.

    Example:
        >>> val_evaluator = dict(type='CheckedLVISMetric', ann_file='data/lvis/annotations/lvis_v1_val.json',
        ...     metric=['bbox', 'segm'])
    """

    COMPLETES_ANNOTATIONS = True

    def __init__(self, ann_file: str | None = None, max_overhang: float = MAX_OVERHANG, **kwargs: Any) -> None:
        super().__init__(ann_file=None, **kwargs)
        if ann_file is not None:
            self._lvis_api = _CheckedLVIS(ann_file, max_overhang, self.backend_args)
