"""From an open_clip architecture (name or config) to modules without weights."""

import copy
import difflib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import open_clip
from open_clip.pretrained import (
    download_pretrained_from_hf,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)
from torch import nn

from densevlm_mm.registry import import_architectures

HUB_PREFIX = "hf-hub:"
# The image tower does not depend on the text tower; open_clip builds both, so it gets the smallest possible one.
_NO_TEXT = {"context_length": 1, "vocab_size": 1, "width": 8, "heads": 1, "layers": 1}


@dataclass(frozen=True)
class ClipArchitecture:
    """What open_clip needs to build a model, and how its images are normalised.

    Attributes:
        name: open_clip name, or 'custom' for a config without one.
        cfg: ``{'embed_dim', 'vision_cfg', 'text_cfg', ...}``.
        mean: per RGB channel, 0-1 scale.
        std: per RGB channel, 0-1 scale.
    """

    name: str
    cfg: dict[str, Any]
    mean: tuple[float, ...] = field(default=open_clip.OPENAI_DATASET_MEAN)
    std: tuple[float, ...] = field(default=open_clip.OPENAI_DATASET_STD)

    @property
    def quick_gelu(self) -> bool:
        """Whether open_clip's own transformers use QuickGELU."""
        return bool(self.cfg.get("quick_gelu", False))

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
        model.visual.image_mean, model.visual.image_std = self.mean, self.std
        return model.eval()

    def build_visual(self) -> nn.Module:
        """Build the image tower alone with random weights, float32, on CPU."""
        cfg: dict[str, Any] = {
            key: self.cfg[key] for key in ("embed_dim", "vision_cfg", "quick_gelu") if key in self.cfg
        }
        return ClipArchitecture(self.name, {**cfg, "text_cfg": dict(_NO_TEXT)}, self.mean, self.std).build_clip().visual


def resolve_architecture(model_name: str | dict[str, Any], tag: str | None = None) -> ClipArchitecture:
    """Look up an architecture.

    Args:
        model_name: open_clip name, 'hf-hub:<org>/<repository>', or an open_clip model config (also in the form
            ``{'model_cfg': ..., 'preprocess_cfg': ...}`` of its ``open_clip_config.json``).
        tag: pretrained tag whose normalisation counts; without it that of the name's tags if they agree, else OpenAI's.

    Raises:
        ValueError: if open_clip does not know the name, or the config lacks a part.
    """
    import_architectures()
    if isinstance(model_name, str) and model_name.startswith(HUB_PREFIX):
        file = download_pretrained_from_hf(model_name.removeprefix(HUB_PREFIX), filename="open_clip_config.json")
        architecture = resolve_architecture(json.loads(Path(file).read_text()))
        return replace(architecture, name=model_name)
    if isinstance(model_name, dict):
        cfg, preprocess = model_name.get("model_cfg", model_name), model_name.get("preprocess_cfg", {})
        name = "custom"
    else:
        name = model_name.replace("/", "-")
        cfg, preprocess = open_clip.get_model_config(name), _published_preprocessing(name, tag)
        if cfg is None:
            raise ValueError(
                f"open_clip has no model named {model_name!r}; similar names: {_similar(name)}. "
                "A new architecture is given as a config dict {'embed_dim', 'vision_cfg', 'text_cfg'}"
            )
    missing = [key for key in ("embed_dim", "vision_cfg", "text_cfg") if key not in cfg]
    if missing:
        raise ValueError(f"model config lacks {missing}; an open_clip config has 'embed_dim', 'vision_cfg', 'text_cfg'")
    normalisation = {key: tuple(preprocess[key]) for key in ("mean", "std") if preprocess.get(key)}
    return ClipArchitecture(name, copy.deepcopy(cfg), **normalisation)


def _published_preprocessing(name: str, tag: str | None) -> dict[str, Any]:
    if tag is not None:
        return get_pretrained_cfg(name, tag)
    configs = [get_pretrained_cfg(name, published) for published in list_pretrained_tags_by_model(name)]
    values = {(tuple(c.get("mean") or ()), tuple(c.get("std") or ())) for c in configs}
    return dict(zip(("mean", "std"), values.pop(), strict=True)) if len(values) == 1 else {}


def _similar(name: str) -> list[str]:
    return difflib.get_close_matches(name, open_clip.list_models(), n=4, cutoff=0.3)
