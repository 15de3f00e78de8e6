"""Bringing the key layouts of published checkpoints to open_clip's layout.

open_clip's layout: ``visual.*`` for the image tower, ``logit_scale``, and the text tower either under ``text.*`` or,
for architectures without ``custom_text``, at the top level.
"""

import re
from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from densevlm_mm.checkpoint_files import find_state_dict
from densevlm_mm.models.clip.encoder_parts import DENSE_BLOCKS
from densevlm_mm.models.clip.ensemble_alpha import AlphaConfig, EnsembleAlpha

_PREFIXES = ("module.", "_orig_mod.")  # DistributedDataParallel, torch.compile
# Constants that older releases stored, and the three integers of OpenAI's archives: the architecture tells them.
_CONSTANTS = re.compile(
    r"(text\.)?attn_mask|text\.transformer\.embeddings\.position_ids|input_resolution|context_length|vocab_size"
)
# Original EVA-CLIP names -> timm's (the same table as timm's checkpoint filter, which needs a model and would resize
# position embeddings of a wrong architecture silently).
_EVA_NAMES = (
    (".mlp.ffn_ln.", ".mlp.norm."),
    (".attn.inner_attn_ln.", ".attn.norm."),
    (".mlp.w12.", ".mlp.fc1."),
    (".mlp.w1.", ".mlp.fc1_g."),
    (".mlp.w2.", ".mlp.fc1_x."),
    (".mlp.w3.", ".mlp.fc2."),
)
_TEXT_PREFIXES = ("text_projection", "positional_embedding", "token_embedding", "transformer.", "ln_final")


def to_open_clip_layout(
    content: Any, source: str, alpha: AlphaConfig | EnsembleAlpha | None = None
) -> dict[str, Tensor]:
    """Extract a state dict in open_clip's layout from whatever a checkpoint file holds.

    Args:
        content: The file's content: a state dict, or a training checkpoint around one (CLIPSelf, DenseVLM, open_clip,
            our own runner checkpoints, whose ``weight_ensemble`` is applied).
        source: The file, for messages.
        alpha: Weight of the trained parameters in the ensemble, see :class:`EnsembleAlpha`; None takes the checkpoint's
            own.

    Raises:
        ValueError: If no state dict, or no image tower, is found, or the ensemble does not fit.
    """
    wrapper = content if isinstance(content, Mapping) else {}
    state_dict = _unwrap(content, source)
    runner_prefix = _runner_prefix(state_dict)
    if runner_prefix:
        state_dict = _apply_weight_ensemble(state_dict, wrapper.get("weight_ensemble"), source, alpha)
        # The rest of a runner checkpoint belongs to other parts of the model (heads, preprocessors).
        state_dict = {k[len(runner_prefix) :]: v for k, v in state_dict.items() if k.startswith(runner_prefix)}
    state_dict = {k: v for k, v in state_dict.items() if not _CONSTANTS.fullmatch(k)}
    if not any(key.startswith("visual.") for key in state_dict):
        keys = ", ".join(list(state_dict)[:4])
        raise ValueError(
            f"{source}: no key starts with 'visual.' (an image tower in open_clip layout); found {keys}, ..."
            f"{_likely_content(state_dict)}"
        )
    return _rename_eva(state_dict) if _is_original_eva(state_dict) else state_dict


def with_text_layout(state_dict: dict[str, Tensor], custom_text: bool) -> dict[str, Tensor]:
    """Move the text tower under ``text.*`` (``custom_text=True``) or to the top level, whichever the model expects."""
    if custom_text:
        return {f"text.{k}" if k.startswith(_TEXT_PREFIXES) else k: v for k, v in state_dict.items()}
    return {k.removeprefix("text."): v for k, v in state_dict.items()}


def _unwrap(content: Any, source: str) -> dict[str, Tensor]:
    state_dict = find_state_dict(content, source)
    while prefix := next((p for p in _PREFIXES if all(key.startswith(p) for key in state_dict)), None):
        state_dict = {key.removeprefix(prefix): value for key, value in state_dict.items()}
    return state_dict


def _likely_content(state_dict: Mapping[str, Tensor]) -> str:
    if any(key.startswith(DENSE_BLOCKS) for key in state_dict):
        return (
            " It holds the trained blocks alone of an encoder that was exported with --keep-global: give the file that "
            "it lies beside, the same name without '.dense'"
        )
    if any(key.startswith("vision_model.") for key in state_dict):
        return " It is in the layout of Hugging Face's transformers: give the release for open_clip"
    if any(key.startswith(("text.", *_TEXT_PREFIXES)) for key in state_dict):
        return " It is a text tower alone: give the CLIP that it belongs to"
    return " It belongs to another kind of model"


def _runner_prefix(state_dict: dict[str, Tensor]) -> str:
    """Return what stands before 'visual.' in a runner checkpoint, e.g. 'encoder.'; '' in all other layouts."""
    pattern = re.compile(r"((?:[^.]+\.)*encoder\.)visual\.")
    matches = (pattern.match(key) for key in state_dict)
    return next((match.group(1) for match in matches if match), "")


def _apply_weight_ensemble(
    state_dict: dict[str, Tensor], ensemble: Any, source: str, alpha: AlphaConfig | EnsembleAlpha | None
) -> dict[str, Tensor]:
    """Return ``alpha * w + (1 - alpha) * w_init`` where initial weights are given."""
    if ensemble is None:
        return state_dict
    if not isinstance(ensemble, Mapping) or not {"alpha", "initial_state_dict"} <= ensemble.keys():
        raise ValueError(f"{source}: 'weight_ensemble' lacks 'alpha' or 'initial_state_dict'")
    own = EnsembleAlpha.parse(ensemble["alpha"], f"{source}: its alpha")
    used = own if alpha is None else EnsembleAlpha.parse(alpha)
    asked_for = "" if used == own else f" (asked for, the checkpoint says {own})"
    print_log(f"{source}: weight ensemble, {used.formula}{asked_for}", "current")
    initial = {}
    for key, start in ensemble["initial_state_dict"].items():
        key = key.removeprefix("module.")
        if key not in state_dict or state_dict[key].shape != start.shape:
            raise ValueError(f"{source}: 'weight_ensemble' holds {key!r}, which does not fit the weights beside it")
        if start.is_floating_point():
            initial[key] = start
    return {**state_dict, **used.blend(state_dict, initial)}


def _is_original_eva(state_dict: dict[str, Tensor]) -> bool:
    return "visual.cls_token" in state_dict and any(key.startswith("visual.blocks.") for key in state_dict)


def _rename_eva(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    separate_qkv = "visual.blocks.0.attn.q_proj.weight" in state_dict
    renamed = {}
    for key, value in state_dict.items():
        if key.startswith("visual."):
            if ".rope." in key:
                continue  # rotary tables of one fixed grid; computed from the architecture
            for old, new in _EVA_NAMES:
                key = key.replace(old, new)
            if separate_qkv:
                key = key.replace(".attn.q_bias", ".attn.q_proj.bias").replace(".attn.v_bias", ".attn.v_proj.bias")
            key = "visual.trunk." + key.removeprefix("visual.")
        renamed[key] = value
    return renamed
