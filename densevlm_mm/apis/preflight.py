"""Look for every file that an experiment needs before anything is built."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from mmengine.config import Config

from densevlm_mm.apis.best_checkpoint import check_save_best
from densevlm_mm.apis.data_checks import check_data
from densevlm_mm.checkpoint_files.formats import similar_files
from densevlm_mm.downloads import find_download
from densevlm_mm.models.clip import CheckpointName
from densevlm_mm.models.text import embeddings_command


class MissingInputsError(FileNotFoundError):
    """Files that a config names do not exist; the message lists all of them, what they are and where they come from."""


def check_inputs(cfg: Config, phase: Literal["train", "test"]) -> None:
    """Check that data and weights exist, then that the data are right, see :func:`check_data`.

    Args:
        cfg: The experiment.
        phase: ``'train'`` looks at the training and validation data, ``'test'`` at the test data, and not at a file of
            class embeddings that only a training reads.

    Raises:
        MissingInputsError: If anything is missing; see its message.
        ValueError: If annotations, label maps or images are wrong, or ``save_best`` names no figure of the validation.
    """
    if phase == "train":
        check_save_best(cfg)
    missing = missing_inputs(cfg, phase)
    if missing:
        raise MissingInputsError(_message(cfg, missing))
    check_data(cfg, phase)


def missing_inputs(cfg: Config, phase: Literal["train", "test"]) -> dict[str, str]:
    """Paths that an experiment names and that do not exist, with the places in the config that name them.

    Args:
        cfg: The experiment.
        phase: See :func:`check_inputs`.
    """
    loaders = ("train_dataloader", "val_dataloader") if phase == "train" else ("test_dataloader",)
    wanted: dict[str, str] = {}
    for name in loaders:
        for path in _dataset_paths(cfg.get(name) or {}):
            wanted.setdefault(path, name)
    parts = ("model", "default_hooks", "custom_hooks") if phase == "train" else ("model",)
    has_test_classes = cfg.get("model", {}).get("test_class_embeddings") is not None
    for name in parts:
        for path, key in _weight_paths(cfg.get(name) or {}, name):
            if not (phase == "test" and has_test_classes and key.startswith("model.class_embeddings.")):
                wanted.setdefault(path, key)
    return {path: key for path, key in wanted.items() if not _exists(path)}


def _dataset_paths(node: Any) -> Iterator[str]:
    """Annotation files, image sources and folders of all (nested) datasets."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from _dataset_paths(item)
        return
    if not isinstance(node, dict):
        return
    root = Path(node.get("data_root") or "")
    for key in ("source", "ann_file", "region_file"):
        if isinstance(node.get(key), str) and node[key]:
            yield str(root / node[key])
    prefixes = node.get("data_prefix")
    for prefix in (prefixes or {}).values() if isinstance(prefixes, dict) else ():
        if isinstance(prefix, str) and prefix:
            yield str(root / prefix)
    for key in ("dataset", "datasets"):
        yield from _dataset_paths(node.get(key))


def _weight_paths(node: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, list | tuple):
        for i, item in enumerate(node):
            yield from _weight_paths(item, f"{where}.{i}")
        return
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in ("checkpoint", "captions") and isinstance(value, str):
            yield value, f"{where}.{key}"
        elif key == "vocabulary" and isinstance(value, str) and value.endswith((".json", ".txt")):
            yield value, f"{where}.vocabulary"
        elif key == "file" and "class_embeddings" in where and isinstance(value, str):
            yield value, f"{where}.file"
        else:
            yield from _weight_paths(value, f"{where}.{key}")


def _exists(path: str) -> bool:
    return "://" in path or CheckpointName.parse(path).exists()


def input_facts(cfg: Config, path: str, key: str) -> dict[str, str]:
    """``what`` a path of :func:`missing_inputs` is and its ``source``, as far as they are known.

    Args:
        cfg: The experiment.
        path: The path.
        key: The place in the config that names it.
    """
    if known := find_download(path):
        return dict(what=known.what, source=known.source)
    return _embeddings_facts(cfg, key)


def _embeddings_facts(cfg: Config, key: str) -> dict[str, str]:
    if not key.endswith("class_embeddings.file"):
        return {}
    options: Any = cfg
    for step in key.split(".")[:-1]:
        options = options[int(step)] if isinstance(options, list | tuple) else options[step]
    return dict(what="class embeddings", source=embeddings_command(options))


def _message(cfg: Config, missing: dict[str, str]) -> str:
    lines = [f"{cfg.filename} needs {len(missing)} file(s) or folder(s) that do not exist:", ""]
    for path, key in missing.items():
        facts = input_facts(cfg, path, key)
        lines.append(f"  {path}    ({key}){similar_files(Path(path))}")
        lines += [
            f"      {label}: {facts[field]}"
            for label, field in (("what", "what"), ("get it", "source"))
            if field in facts
        ]
    lines += [
        "",
        f"`python tools/download.py --for {cfg.filename or 'CONFIG'}` fetches those that can be fetched.",
        "Put the others there, or name other paths in the config or with --cfg-options KEY=PATH.",
        "To see the method work meanwhile, without data or weights: make demo",
        "(or python tools/train.py configs/tiny/densevlm.py after python tools/dataset_converters/tiny_scenes.py "
        "data/tiny_scenes).",
    ]
    return "\n".join(lines)
