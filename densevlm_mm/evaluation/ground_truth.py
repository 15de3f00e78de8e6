"""Ground truth of mmdet's metrics from annotation files that were checked.

Not imported by ``densevlm_mm.evaluation``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

import contextlib
import io
from typing import Any

from lvis import LVIS
from mmdet.datasets.api_wrappers import COCO

from densevlm_mm.datasets.annotations.instances import MAX_OVERHANG, InstanceFile, check_federated, read_instances
from densevlm_mm.datasets.annotations.json_files import read_json
from densevlm_mm.datasets.annotations.problems import log_repair


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


def load_lvis(ann_file: str, max_overhang: float = MAX_OVERHANG, backend_args: dict | None = None) -> LVIS:
    """Load a file for lvis, checked and completed as :func:`read_instances` does.

    Args:
        ann_file: Path or URI.
        max_overhang: Pixels that a box may reach over the border of its image.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is malformed, or lacks what LVIS's evaluation needs.
    """
    return _CheckedLVIS(ann_file, max_overhang, backend_args)


class _CheckedLVIS(LVIS):
    def __init__(self, ann_file: str, max_overhang: float, backend_args: dict | None) -> None:
        self._options: dict[str, Any] = dict(max_overhang=max_overhang, backend_args=backend_args)
        super().__init__(ann_file)

    def _load_json(self, path: str) -> dict:
        file = read_instances(path, lvis=True, allow_any_path=True, **self._options)
        check_federated(file)
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
