"""Which CLIP is meant: one answer for configs, command lines and files, for image and text side."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
from mmengine.logging import print_log
from open_clip.pretrained import (
    download_pretrained,
    download_pretrained_from_hf,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)

from densevlm_mm.checkpoint_files import checkpoint_format, read_checkpoint
from densevlm_mm.compat.checkpoint_loading import download
from densevlm_mm.models.clip.architecture import (
    HUB_CONFIG,
    PUBLISHED_KEYS,
    ClipArchitecture,
    ModelName,
    agreed_preprocessing,
    one_line_downloads,
    preprocess_tuples,
    read_hub_config,
    resolve_architecture,
)
from densevlm_mm.models.clip.checkpoint_names import FORMS, CheckpointName

# How hub repositories call their weights, the best first.
HUB_WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "model.safetensors",
    "pytorch_model.bin",
)
_SHARED_PARTS = ("embed_dim", "vision_cfg", "quick_gelu")  # what decides about the image tower


@dataclass(frozen=True)
class ClipSource:
    """Which CLIP is meant, see :func:`resolve_model`.

    Attributes:
        architecture: The architecture, and the preprocessing that the weights were trained with.
        checkpoint: The weights' name.
        file: The local file that holds them; None for random weights.
    """

    architecture: ClipArchitecture
    checkpoint: CheckpointName
    file: Path | None


def resolve_model(model_name: ModelName | None, checkpoint: str | Path | None, *, trust: bool = False) -> ClipSource:
    """Say which CLIP is meant: by a config, a command line, or a file that knows its architecture.

    Args:
        model_name: The architecture by any of its names, see :func:`resolve_architecture`; None takes it from the
            checkpoint, if that is an exported file, a checkpoint of ``tools/train.py``, or in hub layout.
        checkpoint: The weights by any of their names, see :class:`CheckpointName`.
        trust: Unpickle arbitrary objects too; this can run code from the file.

    Returns:
        Architecture and local file; named weights are downloaded. The preprocessing is what the weights say of
        themselves (an exported file, a checkpoint of ``tools/train.py``, open_clip's tag, ``open_clip_config.json``);
        where they say nothing, that of ``model_name``.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If no checkpoint is given, nothing tells the architecture, or checkpoint and ``model_name`` say
            different things.

    Example:
        >>> resolve_model("ViT-B/16", "open_clip:openai").architecture.name
        'ViT-B-16'
    """
    if checkpoint is None or checkpoint == "":
        raise ValueError(
            f"no checkpoint given for {model_name!r}: give {FORMS}; 'random' asks for random weights explicitly"
        )
    name = CheckpointName.parse(checkpoint)
    if name.kind == "random":
        if model_name is None:
            raise ValueError("random weights do not say their architecture: give model_name")
        return ClipSource(resolve_architecture(model_name), name, None)
    file = locate_checkpoint(model_name, str(checkpoint))
    described = _describe(name, file, model_name, trust)
    if model_name is None:
        if "model_cfg" not in described:
            raise ValueError(f"checkpoint {str(name)!r} does not say its architecture: give model_name")
        return ClipSource(resolve_architecture(described), name, file)
    asked = resolve_architecture(model_name)
    _check_same_tower(asked, described, name)
    stated = preprocess_tuples(described.get("preprocess_cfg") or {})
    _check_same_preprocessing(model_name, stated, name)
    if not stated:
        _warn_if_ambiguous(asked, model_name, name)
    return ClipSource(asked.with_preprocessing(stated), name, file)


def locate_checkpoint(model_name: ModelName | None, checkpoint: str) -> Path:
    """Return the local file of a checkpoint, downloading it if it is named by a tag, a hub id or a URL.

    Args:
        model_name: The architecture, see :func:`resolve_architecture`; needed to resolve a tag.
        checkpoint: The weights, see :class:`CheckpointName`.

    Raises:
        FileNotFoundError: If a folder holds no weights, or the download fails.
        ValueError: If open_clip has no such tag for the architecture, or the weights are random.
    """
    name = CheckpointName.parse(checkpoint)
    if name.kind == "folder":
        return _weights_in(name.path)
    if name.kind == "file":
        return name.path
    if name.kind == "random":
        raise ValueError("random weights have no file")
    release = tag_config(model_name, name.value) if name.kind == "tag" else {}
    with one_line_downloads(str(name)):
        if name.kind == "tag":
            return Path(download_pretrained(release))
        return download(name.value) if name.kind == "url" else Path(download_pretrained_from_hf(name.value))


def download_beside(name: CheckpointName, filename: str) -> Path:
    """Download another file of the repository that weights come from."""
    with one_line_downloads(f"{filename} of {name}"):
        return Path(download_pretrained_from_hf(name.value, filename=filename))


def tag_config(model_name: ModelName | None, tag: str) -> dict[str, Any]:
    """What open_clip knows of a release: where it is, its preprocessing, whether it needs QuickGELU.

    Raises:
        ValueError: If open_clip has no such tag for the architecture.
    """
    if model_name is None:
        raise ValueError(f"open_clip's tag {tag!r} names weights of several architectures: give model_name")
    names = _open_clip_names(resolve_architecture(model_name))
    if cfg := next(filter(None, (get_pretrained_cfg(name, tag) for name in names)), None):
        return cfg
    tags = [known for name in names for known in list_pretrained_tags_by_model(name)]
    raise ValueError(f"open_clip has no pretrained tag {tag!r} for {model_name!r}; its tags are {tags}")


def _open_clip_names(architecture: ClipArchitecture) -> list[str]:
    """The names under which open_clip may list tags of a model: its own, or those of an equal config."""
    if architecture.name != "custom":
        return [architecture.name]
    return [known for known in open_clip.list_models() if open_clip.get_model_config(known) == architecture.cfg]


def _weights_in(folder: Path) -> Path:
    if not (folder / HUB_CONFIG).is_file():
        raise FileNotFoundError(f"folder {str(folder)!r} is not in hub layout, it has no {HUB_CONFIG}: give a file")
    found = [folder / name for name in HUB_WEIGHTS if (folder / name).is_file()]
    if not found:
        raise FileNotFoundError(f"folder {str(folder)!r} holds no weights; looked for {', '.join(HUB_WEIGHTS)}")
    return found[0]


def _describe(name: CheckpointName, file: Path, model_name: ModelName | None, trust: bool) -> dict[str, Any]:
    """What weights say of themselves: ``{'model_name', 'model_cfg', 'preprocess_cfg'}``, as far as they do."""
    if name.kind == "tag":
        return {"preprocess_cfg": {key: tag_config(model_name, name.value).get(key) for key in PUBLISHED_KEYS}}
    if name.kind == "hub":
        return resolve_architecture(str(name)).description
    return read_description(file, trust=trust) or _read_beside(name, file, model_name)


def read_description(path: Path, *, trust: bool = False) -> dict[str, Any]:
    """Read what an exported file, or a checkpoint of ``tools/train.py``, says of its model; {} for other files.

    Returns:
        ``{'model_name', 'model_cfg', 'preprocess_cfg'}`` (the last is missing in files of version 0.1.0), as
        :func:`resolve_architecture` takes it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, or what it says cannot be read.
    """
    if checkpoint_format(path) == "torchscript":
        return {}
    file = read_checkpoint(path, trust=trust, verify=False)
    stored = file.content.get("encoder") if file.is_runner_checkpoint else file.metadata
    if not isinstance(stored, Mapping) or "model_cfg" not in stored:
        return {}
    try:
        cfgs = {key: json.loads(stored[key]) for key in ("model_cfg", "preprocess_cfg") if stored.get(key)}
    except (ValueError, TypeError) as error:
        raise ValueError(f"checkpoint {str(path)!r} does not say legibly which model it holds ({error})") from error
    return {"model_name": str(stored.get("model_name", "custom")), **cfgs} if cfgs.get("model_cfg") else {}


def _read_beside(name: CheckpointName, file: Path, model_name: ModelName | None) -> dict[str, Any]:
    """Read the ``open_clip_config.json`` beside a file; one that is asked for as another model may lie there alone."""
    config = file.parent / HUB_CONFIG
    if not config.is_file() or name.kind == "url":  # downloads of any origin share a folder
        return {}
    described = read_hub_config(config)
    if model_name is None or name.kind == "folder" or file.name in HUB_WEIGHTS:
        return described
    if resolve_architecture(model_name).cfg == described["model_cfg"]:
        return described
    print_log(f"{config} describes another model than {name}: it is not used", "current", level=30)
    return {}


def _check_same_tower(asked: ClipArchitecture, described: Mapping[str, Any], name: CheckpointName) -> None:
    stored = described.get("model_cfg", {})
    for key in _SHARED_PARTS if stored else ():
        if _plain(stored.get(key)) != _plain(asked.cfg.get(key)):
            raise ValueError(
                f"checkpoint {str(name)!r} was exported from {described.get('model_name', 'another model')!r}, which "
                f"differs from {asked.name!r} in {key!r}: {stored.get(key)} against {asked.cfg.get(key)}"
            )


def _plain(value: Any) -> Any:
    """A part of a config as JSON has it: tuples are lists there, and what is false may be missing."""
    return json.loads(json.dumps(value or None, default=str))


def _check_same_preprocessing(model_name: ModelName, stated: Mapping[str, Any], name: CheckpointName) -> None:
    """What a user wrote down and what the weights say must agree: neither is right without a look."""
    written = model_name.get("preprocess_cfg", {}) if isinstance(model_name, Mapping) else {}
    for key, value in preprocess_tuples(written).items():
        if key != "size" and stated.get(key) not in (None, value):
            raise ValueError(
                f"checkpoint {str(name)!r} was trained with {key}={stated[key]}, model_name's preprocess_cfg says "
                f"{value}: leave it out, the checkpoint's counts"
            )


def _warn_if_ambiguous(asked: ClipArchitecture, model_name: ModelName, name: CheckpointName) -> None:
    tags = list_pretrained_tags_by_model(asked.name)
    is_written = isinstance(model_name, Mapping) and model_name.get("preprocess_cfg")
    if tags and not is_written and not {"mean", "std"} <= agreed_preprocessing(asked.name).keys():
        print_log(
            f"{name} does not say how its images are normalised, and the published weights of {asked.name!r} "
            f"({', '.join(tags)}) are not all normalised alike: OpenAI's values are taken. If they are wrong, give "
            f"'open_clip:<tag>', or model_name=dict(model_name={asked.name!r}, preprocess_cfg=dict(mean=..., std=...))",
            "current",
            level=30,
        )
