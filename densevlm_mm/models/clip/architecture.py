"""From an open_clip architecture, however it is named, to modules without weights."""

import copy
import difflib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import open_clip
from open_clip.model import set_model_preprocess_cfg
from open_clip.pretrained import download_pretrained_from_hf, get_pretrained_cfg, list_pretrained_tags_by_model
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import nn

from densevlm_mm.models.clip.checkpoint_names import FOLDER_PREFIX, HUB_PREFIX
from densevlm_mm.registry import import_architectures

ModelName = str | Mapping[str, Any]
HUB_CONFIG = "open_clip_config.json"
PUBLISHED_KEYS = ("mean", "std", "interpolation", "resize_mode")
_PREPROCESS_KEYS = {part.name for part in fields(PreprocessCfg)}
_PARTS = ("embed_dim", "vision_cfg", "text_cfg")
# The image tower does not depend on the text tower; open_clip builds both, so it gets the smallest possible one.
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class ClipArchitecture:
    """What open_clip needs to build a model, and how its images are prepared.

    Attributes:
        name: open_clip name ('ViT-B-16', never 'ViT-B/16'), 'hf-hub:<org>/<repository>', or 'custom'.
        cfg: ``{'embed_dim', 'vision_cfg', 'text_cfg', ...}``, open_clip's ``model_cfg``.
        preprocess_cfg: open_clip's, complete: ``size`` (of the tower's native input), ``mode``, ``mean``, ``std``
            (per RGB channel, 0-1 scale), ``interpolation``, ``resize_mode``, ``fill_color``.
    """

    name: str
    cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any] = field(default_factory=lambda: asdict(PreprocessCfg()))

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each RGB channel, 0-1 scale."""
        return self.preprocess_cfg["mean"]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each RGB channel, 0-1 scale."""
        return self.preprocess_cfg["std"]

    @property
    def quick_gelu(self) -> bool:
        """Whether open_clip's own transformers use QuickGELU."""
        return bool(self.cfg.get("quick_gelu", False))

    @property
    def model_id(self) -> str:
        """What identifies the architecture in files: its name, or ``custom-<hash of cfg>`` without one."""
        return config_id(self.cfg) if self.name == "custom" else self.name

    @property
    def description(self) -> dict[str, Any]:
        """``{'model_name', 'model_cfg', 'preprocess_cfg'}``, which :func:`resolve_architecture` reads."""
        return {"model_name": self.name, "model_cfg": self.cfg, "preprocess_cfg": self.preprocess_cfg}

    def with_preprocessing(self, preprocess_cfg: Mapping[str, Any] | None) -> "ClipArchitecture":
        """The same model, prepared as ``preprocess_cfg`` says, as far as it does.

        Raises:
            ValueError: If mean or standard deviation are not three numbers.
        """
        merged = merge_preprocess_dict(self.preprocess_cfg, preprocess_tuples(preprocess_cfg or {}))
        for key in ("mean", "std"):
            values = merged[key]
            if len(values) != 3 or not all(math.isfinite(v) and (key == "mean" or v > 0) for v in values):
                raise ValueError(f"preprocess_cfg of {self.name!r}: {key} must be three numbers (RGB), got {values!r}")
        return replace(self, preprocess_cfg=merged)

    def build_clip(self) -> Any:
        """Build image and text tower with random weights, float32, on CPU."""
        cfg = copy.deepcopy(self.cfg)
        custom_text = cfg.pop("custom_text", False) or "hf_model_name" in cfg["text_cfg"]
        if "timm_model_name" in cfg["vision_cfg"]:
            cfg["vision_cfg"]["timm_model_pretrained"] = False
        if "hf_model_name" in cfg["text_cfg"]:
            cfg["text_cfg"]["hf_model_pretrained"] = False
        if "multimodal_cfg" in cfg:
            model = open_clip.CoCa(**cfg)
        else:
            model = (open_clip.CustomTextCLIP if custom_text else open_clip.CLIP)(**cfg)
        set_model_preprocess_cfg(model, {**self.preprocess_cfg, "size": model.visual.image_size})
        return model.eval()

    def build_visual(self) -> nn.Module:
        """Build the image tower alone with random weights, float32, on CPU."""
        cfg: dict[str, Any] = {
            key: self.cfg[key] for key in ("embed_dim", "vision_cfg", "quick_gelu") if key in self.cfg
        }
        return replace(self, cfg={**cfg, "text_cfg": dict(_NO_TEXT)}).build_clip().visual


def resolve_architecture(model_name: ModelName) -> ClipArchitecture:
    """Look up an architecture by any of its names.

    Args:
        model_name: One of

            * an open_clip name, with '-' or '/' ('ViT-B-16' and 'ViT-B/16' are the same);
            * 'hf-hub:<org>/<repository>', or 'local-dir:<folder>' with an ``open_clip_config.json``;
            * an open_clip config ``{'embed_dim', 'vision_cfg', 'text_cfg', ...}``, or a .json file with one;
            * a description ``{'model_name', 'model_cfg', 'preprocess_cfg'}``, as checkpoints and exported files carry
              it and (without 'model_name') an ``open_clip_config.json``. Without 'model_cfg' the config is that of the
              name, so that ``dict(model_name='ViT-L-14', preprocess_cfg=dict(mean=..., std=...))`` is ViT-L-14 with
              another normalisation.

    Returns:
        The architecture. Its preprocessing is that of the description or the hub's config; for a name that of the
        weights that open_clip lists for it, as far as they agree, else OpenAI's.

    Raises:
        FileNotFoundError: If a .json file does not exist, or a folder has no ``open_clip_config.json``.
        ValueError: If open_clip does not know the name, or the config lacks a part.
    """
    import_architectures()
    if isinstance(model_name, Mapping):
        return _from_dict(model_name)
    if model_name.endswith(".json"):
        return _from_dict(_read_json(Path(model_name)))
    if model_name.startswith((HUB_PREFIX, FOLDER_PREFIX)):
        architecture = _from_dict(read_hub_config(_hub_config_file(model_name)))
        return replace(architecture, name=model_name) if model_name.startswith(HUB_PREFIX) else architecture
    name = canonical_name(model_name)
    cfg = open_clip.get_model_config(name)
    if cfg is None:
        raise ValueError(
            f"open_clip has no model named {model_name!r}; similar names: {_similar(name)}. "
            "A new architecture is given as a config dict {'embed_dim', 'vision_cfg', 'text_cfg'}"
        )
    return ClipArchitecture(name, _checked(cfg)).with_preprocessing(agreed_preprocessing(name))


def canonical_name(model_name: str) -> str:
    """open_clip's spelling of a model name: OpenAI's 'ViT-B/16' becomes 'ViT-B-16'; names with a prefix stay."""
    return model_name if model_name.startswith((HUB_PREFIX, FOLDER_PREFIX)) else model_name.replace("/", "-")


def config_id(cfg: Mapping[str, Any]) -> str:
    """Identify an open_clip config by its content, whatever the order of its keys."""
    text = json.dumps(cfg, sort_keys=True, default=str)
    return f"custom-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def same_model(one: ModelName, other: ModelName) -> bool:
    """Whether two names mean the same architecture: 'ViT-B/16', 'ViT-B-16', and its config dict do."""
    first, second = resolve_architecture(one), resolve_architecture(other)
    return first.name == second.name != "custom" or config_id(first.cfg) == config_id(second.cfg)


def agreed_preprocessing(name: str) -> dict[str, Any]:
    """What all weights that open_clip lists for a name have in common of 'mean', 'std', 'interpolation', 'resize_mode'.

    ViT-L-14 (one of its releases is normalised with 0.5) and ViT-H-14 (one squashes images) have not all four.
    """
    published = [get_pretrained_cfg(name, tag) for tag in list_pretrained_tags_by_model(name)]
    values = {key: {cfg.get(key) for cfg in published} for key in PUBLISHED_KEYS}
    return {key: found.pop() for key, found in values.items() if len(found) == 1}


def read_hub_config(path: Path) -> dict[str, Any]:
    """Read an ``open_clip_config.json``: ``{'model_cfg': ..., 'preprocess_cfg': ...}``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds something else.
    """
    content = _read_json(path)
    if not isinstance(content.get("model_cfg"), dict):
        raise ValueError(f"{str(path)!r} has no 'model_cfg': it does not say which model the weights belong to")
    return content


@contextmanager
def one_line_downloads(name: str) -> Iterator[None]:
    """Say in one line that a download failed, and what to do.

    Args:
        name: What the user asked for.

    Raises:
        FileNotFoundError: If the block fails as downloads do.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:  # those of the hub's client are OSErrors, open_clip's a RuntimeError
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise FileNotFoundError(
            f"{name} could not be downloaded ({reason}): where there is no network, give the path of a file that was "
            "downloaded elsewhere"
        ) from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{str(path)!r}, which is to describe a model, does not exist")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the encoding too
        raise ValueError(f"{str(path)!r} is no JSON text ({error})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{str(path)!r} holds a {type(content).__name__} instead of the config of a model")
    return content


def _hub_config_file(model_name: str) -> Path:
    if model_name.startswith(FOLDER_PREFIX):
        return Path(model_name.removeprefix(FOLDER_PREFIX)) / HUB_CONFIG
    with one_line_downloads(model_name):
        return Path(download_pretrained_from_hf(model_name.removeprefix(HUB_PREFIX), filename=HUB_CONFIG))


def _from_dict(described: Mapping[str, Any]) -> ClipArchitecture:
    if "model_name" not in described:
        cfg = described.get("model_cfg", described)
        return ClipArchitecture("custom", _checked(cfg)).with_preprocessing(described.get("preprocess_cfg"))
    unknown = sorted(set(described) - {"model_name", "model_cfg", "preprocess_cfg"})
    unknown += sorted(set(described.get("preprocess_cfg") or {}) - _PREPROCESS_KEYS)
    if unknown:
        raise ValueError(
            "a model is described by 'model_name', 'model_cfg' and 'preprocess_cfg' (with "
            f"{', '.join(sorted(_PREPROCESS_KEYS))}), not by {unknown}"
        )
    if described.get("model_cfg") is None:
        named = resolve_architecture(described["model_name"])
    else:
        name = canonical_name(described["model_name"])
        # Files of version 0.1.0 say no more than this.
        named = ClipArchitecture(name, _checked(described["model_cfg"])).with_preprocessing(agreed_preprocessing(name))
    return named.with_preprocessing(described.get("preprocess_cfg"))


def _checked(cfg: Mapping[str, Any]) -> dict[str, Any]:
    missing = [key for key in _PARTS if key not in cfg]
    if missing:
        raise ValueError(f"model config lacks {missing}; an open_clip config has 'embed_dim', 'vision_cfg', 'text_cfg'")
    if (cfg["text_cfg"].get("tokenizer_kwargs") or {}).get("trust_remote_code"):
        raise ValueError(
            "the model's config asks for trust_remote_code, which runs code from the hub when its tokenizer is built; "
            "configs come with the files of strangers: remove it from text_cfg.tokenizer_kwargs"
        )
    return copy.deepcopy(dict(cfg))


def preprocess_tuples(preprocess_cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A ``preprocess_cfg`` with tuples as open_clip has them, where JSON has lists."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in preprocess_cfg.items()}


def _similar(name: str) -> list[str]:
    return difflib.get_close_matches(name, open_clip.list_models(), n=4, cutoff=0.3)
