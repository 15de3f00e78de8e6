"""Look at the data of an experiment before anything is built: annotations, label maps, a few images."""

import os
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from mmengine import registry as roots
from mmengine.config import Config
from mmengine.registry import Registry

from densevlm_mm.datasets.annotations.handover import keep_instances
from densevlm_mm.datasets.annotations.image_names import join_image_path
from densevlm_mm.datasets.annotations.instances import MAX_OVERHANG, InstanceFile, check_federated, read_instances
from densevlm_mm.datasets.annotations.panoptic import read_panoptic
from densevlm_mm.datasets.file_listing import missing_files, summarize
from densevlm_mm.datasets.image_files import annotated_frame, read_file, read_header
from densevlm_mm.datasets.transforms.loading import LoadImage

_SAMPLES = 8  # images of a data set that are opened


def check_data(cfg: Config, phase: Literal["train", "test"]) -> None:
    """Check the annotation files, label maps and images that an experiment names.

    Data sets and metrics of mmdet and mmseg are covered as well as our own, and a file that several of them name is
    read once. Files of our own data sets are kept for them, see :func:`take_instances`.

    Args:
        cfg: The experiment.
        phase: ``'train'`` looks at the training and validation data, ``'test'`` at the test data.

    Raises:
        ValueError: If a file is malformed, or something is missing in it that its reader needs.
        FileNotFoundError: If a file does not exist.
    """
    loaders = ("train_dataloader", "val_dataloader") if phase == "train" else ("test_dataloader",)
    checked: dict[str, InstanceFile] = {}
    for name in loaders:
        for node in _innermost(cfg.get(name) or {}):
            _check_dataset(node, cfg, checked)
    evaluators = cfg.get("val_evaluator" if phase == "train" else "test_evaluator") or ()
    for node in [evaluators] if isinstance(evaluators, dict) else evaluators:
        _check_metric(node, cfg, checked)


def _innermost(node: Any) -> Iterator[dict]:
    """The configs of the data sets inside wrappers."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from _innermost(item)
    elif isinstance(node, dict):
        inner = [node[key] for key in ("dataset", "datasets") if key in node]
        if not inner and "type" in node:
            yield node
        for item in inner:
            yield from _innermost(item)


def _lineage(node: dict, registry: Registry, cfg: Config) -> tuple[Any, set[str]]:
    """A component's class and the names of its base classes; None if it is not registered."""
    kind = node["type"]
    if isinstance(kind, str):
        with registry.switch_scope_and_registry(cfg.get("default_scope")) as scoped:
            kind = scoped.get(kind)
    return kind, {base.__name__ for base in kind.__mro__} if isinstance(kind, type) else set()


def _check_dataset(node: dict, cfg: Config, checked: dict[str, InstanceFile]) -> None:
    kind, names = _lineage(node, roots.DATASETS, cfg)
    if "BaseSegDataset" in names:
        _check_segmentation(node, cfg)
        return
    path = _below_root(node, node.get("ann_file"))
    if path is None or not names & {"CocoDataset", "PanopticRegionDataset"}:
        return
    options = dict(
        max_overhang=node.get("max_overhang", MAX_OVERHANG),
        allow_any_path=bool(node.get("allowed_roots")),
        backend_args=node.get("backend_args"),
    )
    if names & {"PanopticRegionDataset", "CocoPanopticDataset"}:
        panoptic = read_panoptic(path, **options)
        files = [str(image.file_name) for image in panoptic.images if image.id in panoptic.annotations]
        sizes = [(image.height, image.width) for image in panoptic.images if image.id in panoptic.annotations]
        _check_images(node, files, sizes, panoptic.source)
        _check_existing(node, "seg", [str(each.file_name) for each in panoptic.annotations.values()], panoptic.source)
        return
    is_ours = "ClassOrderCocoDataset" in names
    is_lvis = kind.LVIS if is_ours else "LVISV05Dataset" in names
    file = (keep_instances if is_ours else read_instances)(path, lvis=is_lvis, **options)
    checked[os.path.abspath(path)] = file
    if not is_ours:
        _refuse_filled(file, ("area",), f"mmdet's {kind.__name__}", "ClassOrderCocoDataset")
        if is_lvis and not all(image.coco_url for image in file.images):
            raise ValueError(
                f"{file.source}: mmdet's {kind.__name__} needs 'coco_url' of every image: use OVLVISDataset"
            )
    if _loads_masks(node.get("pipeline") or ()):
        _require_masks(file, "the pipeline loads masks (with_mask=True)")
    _check_images(node, file.file_names, [(image.height, image.width) for image in file.images], file.source)


def _check_metric(node: dict, cfg: Config, checked: dict[str, InstanceFile]) -> None:
    kind, names = _lineage(node, roots.METRICS, cfg)
    path = node.get("ann_file")
    if not path or not names & {"CocoMetric", "LVISMetric"}:
        return
    file = checked.get(os.path.abspath(path)) or read_instances(
        path,
        lvis="LVISMetric" in names,
        max_overhang=node.get("max_overhang", MAX_OVERHANG),
        allow_any_path=True,
        backend_args=node.get("backend_args"),
    )
    if "LVISMetric" in names:
        check_federated(file)
    if not getattr(kind, "COMPLETES_ANNOTATIONS", False):
        instead = "OVLVISMetric" if "LVISMetric" in names else "ClassOrderCocoMetric"
        _refuse_filled(file, ("area", "iscrowd"), f"mmdet's {kind.__name__}", instead)
    if "segm" in ([node["metric"]] if isinstance(node.get("metric"), str) else node.get("metric") or ()):
        _require_masks(file, f"{kind.__name__} evaluates masks (metric='segm')")


def _refuse_filled(file: InstanceFile, keys: Sequence[str], reader: str, instead: str) -> None:
    for key in keys:
        if file.filled.get(key):
            raise ValueError(
                f"{file.source}: {file.filled[key]} of {len(file.ids)} annotations have no {key!r}, which {reader} "
                f"needs. Use type='{instead}', which fills it in, or add it to the file"
            )


def _require_masks(file: InstanceFile, why: str) -> None:
    without = np.flatnonzero(~file.has_mask)
    if len(without):
        raise ValueError(
            f"{file.source}: {len(without)} of {len(file.ids)} annotations have no 'segmentation', but {why}; the "
            f"first: {file.name(int(without[0]))}"
        )


def _loads_masks(pipeline: Any) -> bool:
    if isinstance(pipeline, dict):
        return bool(pipeline.get("with_mask")) or any(map(_loads_masks, pipeline.values()))
    return isinstance(pipeline, list | tuple) and any(map(_loads_masks, pipeline))


def _check_images(node: dict, names: Sequence[str], sizes: Sequence[tuple[int, int]], source: str) -> None:
    """Check that all images exist, and that some of them can be loaded at the size that is annotated."""
    paths = _check_existing(node, "img", names, source)
    loads = [step for step in node.get("pipeline") or () if isinstance(step, dict) and "LoadImage" in str(step["type"])]
    if not loads or not paths:
        return
    rows = np.unique(np.linspace(0, len(paths) - 1, min(_SAMPLES, len(paths))).astype(int)).tolist()
    for row in rows:
        height, width = sizes[row]
        if str(loads[0]["type"]).split(".")[-1] == "LoadImage":
            options = {key: value for key, value in loads[0].items() if key != "type"}
            LoadImage(**options)(dict(img_path=paths[row], height=height, width=width))
            continue
        header = read_header(read_file(paths[row], node.get("backend_args")), paths[row])
        if annotated_frame(header, (height, width), paths[row]) == "stored":
            raise ValueError(
                f"{paths[row]} is annotated as stored ({width} x {height} in {source}), but mmcv's LoadImageFromFile "
                "turns it as its EXIF orientation says: use dict(type='densevlm_mm.LoadImage') in the pipeline"
            )


def _check_existing(node: dict, prefix: str, names: Sequence[str], source: str) -> list[str]:
    """Paths of files, which all exist; an empty list where that cannot be said."""
    folder = _below_root(node, (node.get("data_prefix") or {}).get(prefix)) or node.get("data_root") or ""
    if node.get("indices") is not None or "://" in folder:  # perhaps only some are there
        return []
    paths = [join_image_path(folder, name, source, node.get("allowed_roots") or ()) for name in names]
    missing = missing_files(paths)
    if missing:
        raise ValueError(
            f"{source}: {len(missing)} of {len(paths)} files do not exist: {summarize(missing)}. Check data_root and "
            "data_prefix"
        )
    return paths


def _check_segmentation(node: dict, cfg: Config) -> None:
    from densevlm_mm.datasets.segmentation_files import (  # imports mmseg: seconds
        check_label_maps,
        check_segmentation_files,
        check_segmentation_list,
    )

    with roots.DATASETS.switch_scope_and_registry(cfg.get("default_scope")) as registry:
        dataset = registry.build(dict(node) | dict(pipeline=[], lazy_init=True, serialize_data=False))
    check_segmentation_files(dataset)
    dataset.full_init()
    check_segmentation_list(dataset, [dataset.get_data_info(index) for index in range(len(dataset))])
    check_label_maps(dataset)


def _below_root(node: dict, path: str | None) -> str | None:
    return os.path.join(node.get("data_root") or "", path) if path else None
