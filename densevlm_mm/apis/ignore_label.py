"""The label of pixels that do not count is declared once, by the data set, and reaches everything else from there."""

import inspect
from collections.abc import Iterator
from typing import Any

from mmengine import registry as roots
from mmengine.config import Config

from densevlm_mm.datasets.annotations.problems import log_repair

_MMSEG_DEFAULT = 255  # of its data sets, heads, padding, crops and metric
_PADDING = {"RandomCrop": "ignore_index", "RandomRotate": "seg_pad_val"}


def spread_ignore_index(cfg: Config) -> None:
    """Bring the ignored label of a segmentation data set to the heads, the padding, the crops and mmseg's metric.

    It is declared as ``ignore_index`` of the data set; what mmseg or a base config sets to 255, mmseg's default,
    follows. Our loader and our metric take it from the data set by themselves.

    Args:
        cfg: The experiment, changed in place.

    Raises:
        ValueError: If one of them is set to another label than the data set's.
    """
    if cfg.get("default_scope") != "mmseg":
        return
    declared = _declared(cfg, "train_dataloader")
    if declared is not None:
        for place, node, key in _training_places(cfg):
            _adopt(node, key, declared, place, "train_dataloader")
    for phase in ("val", "test"):
        declared = _declared(cfg, f"{phase}_dataloader")
        evaluators = cfg.get(f"{phase}_evaluator") or ()
        for node in [evaluators] if isinstance(evaluators, dict) else evaluators:
            if declared is not None and _name(node) == "IoUMetric":
                _adopt(node, "ignore_index", declared, f"{phase}_evaluator", f"{phase}_dataloader")


def _adopt(node: Any, key: str, declared: int, place: str, loader: str) -> None:
    given = node.get(key, _MMSEG_DEFAULT)
    if given == declared:
        return
    if given != _MMSEG_DEFAULT:
        raise ValueError(
            f"{place}.{key} is {given}, but the ignored label of the data set of {loader} is {declared}. Declare it "
            "once, as ignore_index of the data set, and leave it out elsewhere"
        )
    node[key] = declared
    log_repair("ignored label", f"{place}.{key} = {declared}, as the data set of {loader} declares")


def _declared(cfg: Config, loader: str) -> int | None:
    """The ignored label of a loader's data set; None if it has no loader of a known data set."""
    node = (cfg.get(loader) or {}).get("dataset")
    while isinstance(node, dict) and "dataset" in node:
        node = node["dataset"]
    if not isinstance(node, dict) or "type" not in node:
        return None
    if "ignore_index" in node:
        return node["ignore_index"]
    with roots.DATASETS.switch_scope_and_registry(cfg.default_scope) as registry:
        kind = registry.get(node["type"]) if isinstance(node["type"], str) else node["type"]
    parameter = None if kind is None else inspect.signature(kind).parameters.get("ignore_index")
    return _MMSEG_DEFAULT if parameter is None else parameter.default


def _training_places(cfg: Config) -> Iterator[tuple[str, Any, str]]:
    """Where a training uses the label: name, config node and key."""
    for name in ("decode_head", "auxiliary_head"):
        heads = cfg.get("model", {}).get(name) or ()
        for number, head in enumerate([heads] if isinstance(heads, dict) else heads):
            yield f"model.{name}" + (f".{number}" if not isinstance(heads, dict) else ""), head, "ignore_index"
    for place, node in (("model", cfg.get("model", {})), ("config", cfg)):
        if isinstance(node.get("data_preprocessor"), dict):
            yield f"{place}.data_preprocessor", node["data_preprocessor"], "seg_pad_val"
    dataset = cfg.train_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    for number, step in enumerate(dataset.get("pipeline") or ()):
        if isinstance(step, dict) and _name(step) in _PADDING:
            yield f"train pipeline.{number} ({_name(step)})", step, _PADDING[_name(step)]


def _name(node: Any) -> str:
    return str(node.get("type", "")).rpartition(".")[2]
