"""Building open_clip models with weights from every published checkpoint format, strictly.

Formats (nothing in them is run): open_clip ``.pt`` / ``.safetensors``, OpenAI's TorchScript archives, original EVA-CLIP
files, CLIPSelf and DenseVLM training checkpoints, this package's runner checkpoints and exported encoders.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from open_clip.modified_resnet import ModifiedResNet
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from densevlm_mm.checkpoint_files import check_finite, checkpoint_format, read_checkpoint
from densevlm_mm.checkpoint_files.contents import check_weights
from densevlm_mm.models.clip.architecture import ModelName
from densevlm_mm.models.clip.checkpoint_layouts import to_open_clip_layout, with_text_layout
from densevlm_mm.models.clip.encoder_parts import (
    EncoderParts,
    read_encoder_parts,
    select_part,
    select_parts,
    without_parts,
)
from densevlm_mm.models.clip.ensemble_alpha import AlphaConfig, EnsembleAlpha
from densevlm_mm.models.clip.model_source import ClipSource, download_beside, resolve_model, tag_config
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch


def read_state_dict(
    path: str | Path, *, alpha: AlphaConfig | EnsembleAlpha | None = None, trust: bool = False
) -> dict[str, Tensor]:
    """Read a checkpoint of any published format as a state dict in open_clip's layout.

    Of a runner checkpoint with an entry ``weight_ensemble`` (``alpha`` and ``initial_state_dict``) the ensembled
    weights ``alpha * w + (1 - alpha) * w_init`` are returned, and the log says so.

    Args:
        path: The file.
        alpha: Weight of the trained parameters in the ensemble, see :class:`EnsembleAlpha`; None takes the checkpoint's
            own.
        trust: Unpickle arbitrary objects too; this can run code from the file.

    Returns:
        ``visual.*`` keys and, if the file has them, text tower and ``logit_scale``, on CPU, in the stored precision. Of
        a runner checkpoint also the other parameters of its encoder, such as ``value_gate.*``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint, is damaged, has untrusted objects, values that are not finite, or no image
            tower.
    """
    source = f"checkpoint {str(path)!r}"
    state_dict = to_open_clip_layout(read_checkpoint(path, trust=trust).content, source, alpha)
    check_finite(state_dict, source)
    check_weights(without_parts(state_dict), source)  # a gate begins with zeros
    return state_dict


def build_clip(model_name: ModelName | None, checkpoint: str | Path | None, *, trust: bool = False) -> nn.Module:
    """Build an open_clip model, image and text tower, in float32 on CPU, in eval mode.

    Example:
        >>> model = build_clip("ViT-B-16-quickgelu", "open_clip:openai")
        >>> encoder = DenseImageEncoder(clip_model=model)

    Args:
        model_name: See :func:`resolve_model`.
        checkpoint: See :func:`resolve_model`.
        trust: See :func:`read_state_dict`.

    Returns:
        The model, with attributes ``model_name`` and ``model_cfg``; its ``visual`` has open_clip's ``preprocess_cfg``,
        and ``encoder_parts``, what the file says of an encoder beside.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If no checkpoint is given, or weights and architecture do not fit each other completely.
    """
    return _build(model_name, checkpoint, trust, image_only=False)


def load_visual(model_name: ModelName | None, checkpoint: str | Path | None, *, trust: bool = False) -> nn.Module:
    """Build an open_clip image tower alone; the file may hold a text tower or not.

    Args:
        model_name: See :func:`resolve_model`.
        checkpoint: See :func:`resolve_model`.
        trust: See :func:`read_state_dict`.

    Returns:
        The image tower, with attributes ``model_name``, ``model_cfg``, open_clip's ``preprocess_cfg`` and
        ``encoder_parts``, in float32 on CPU, in eval mode.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If no checkpoint is given, or weights and architecture do not fit each other completely.
    """
    return _build(model_name, checkpoint, trust, image_only=True)


def _build(model_name: ModelName | None, checkpoint: str | Path | None, trust: bool, image_only: bool) -> nn.Module:
    source = resolve_model(model_name, checkpoint, trust=trust)
    architecture = source.architecture
    module: Any = architecture.build_visual() if image_only else architecture.build_clip()
    visual = module if image_only else module.visual
    visual.encoder_parts = EncoderParts()
    if source.file is None:
        print_log(f"{architecture.name}: random weights, as asked for by checkpoint='random'", "current", level=30)
    else:
        _check_activation(source, source.file, visual, image_only)
        state_dict = read_state_dict(source.file, trust=trust)
        visual.encoder_parts = _parts(source, source.file, state_dict, trust)
        if image_only:
            state_dict = select_part(state_dict, "visual.")
        else:
            state_dict = with_text_layout(without_parts(state_dict), custom_text=hasattr(module, "text"))
        load_strictly(module, state_dict, source=f"checkpoint {str(source.checkpoint)!r}", target=architecture.name)
    module.model_name, module.model_cfg = architecture.name, architecture.cfg
    return module


def _parts(source: ClipSource, file: Path, state_dict: Mapping[str, Tensor], trust: bool) -> EncoderParts:
    download = partial(download_beside, source.checkpoint) if source.checkpoint.kind == "hub" else None
    said = read_encoder_parts(file, trust=trust, download=download)
    return EncoderParts(said.dense_path, {**said.parameters, **select_parts(state_dict)})


def _check_activation(source: ClipSource, file: Path, visual: nn.Module, image_only: bool) -> None:
    """Keep weights trained with QuickGELU from being run with GELU, which no key or shape would reveal."""
    architecture, checkpoint = source.architecture, source.checkpoint
    if image_only and isinstance(visual, (TimmModel, ModifiedResNet)):
        return  # neither has an activation that open_clip's quick_gelu switches
    if checkpoint.kind == "tag":
        needed: bool | None = bool(tag_config(architecture.description, checkpoint.value).get("quick_gelu", False))
    else:
        needed = True if checkpoint_format(file) == "torchscript" else None
    if needed is not None and needed != architecture.quick_gelu:
        other = f"{architecture.name}-quickgelu" if needed else architecture.name.removesuffix("-quickgelu")
        fix = f"quick_gelu={needed} in the config" if architecture.name == "custom" else f"model_name={other!r}"
        raise ValueError(
            f"checkpoint {str(checkpoint)!r} was trained {'with' if needed else 'without'} QuickGELU but "
            f"{architecture.name!r} is {'not' if needed else ''} built with it: use {fix}"
        )
    hints = ("openai", "quickgelu", "quick_gelu")
    if needed is None and not architecture.quick_gelu and any(hint in file.name.lower() for hint in hints):
        print_log(
            f"{file.name}: the name speaks of weights trained with QuickGELU, which {architecture.name!r} is built "
            f"without; the keys are the same, so this cannot be checked. Use {architecture.name}-quickgelu if so",
            "current",
            level=30,
        )


def load_strictly(module: nn.Module, state_dict: dict[str, Tensor], source: str, target: str) -> None:
    """Load a state dict; not one key may be missing, left over or of another shape.

    Args:
        module: What to load into.
        state_dict: In the module's own layout; any floating type.
        source: The file, for messages.
        target: The architecture's name, for messages.

    Raises:
        ValueError: If a key does not fit; names the first few and the likely cause.
    """
    expected = module.state_dict()
    state_dict = {
        # Scalars are stored as () or (1,) depending on the release.
        key: value.reshape(expected[key].shape)
        if key in expected and value.numel() == expected[key].numel() == 1
        else value
        for key, value in state_dict.items()
    }
    mismatch = StateDictMismatch.between(expected, state_dict).without(missing_suffixes=("num_batches_tracked",))
    if mismatch:
        raise ValueError(f"{source} does not fit {target!r}: keys {mismatch}. {_likely_cause(mismatch)}")
    module.load_state_dict(state_dict, strict=False)  # only counters of batch norms may be missing


def _likely_cause(mismatch: StateDictMismatch) -> str:
    missing, reshaped = mismatch.missing, mismatch.reshaped
    if missing and not mismatch.unexpected and not reshaped and not any(k.startswith("visual.") for k in missing):
        return (
            "The file holds only an image tower (or lacks the text tower): take the text tower from the CLIP release "
            "that the encoder was trained from, or load the file with DenseImageEncoder"
        )
    if reshaped and not missing and not mismatch.unexpected and all("pos" in line.split(":")[0] for line in reshaped):
        return "Only position embeddings differ: take the architecture of the file's native image size"
    return "Likely cause: the file belongs to another architecture; check model_name"
