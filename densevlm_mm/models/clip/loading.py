"""Building open_clip models with weights from every published checkpoint format, strictly.

Formats (nothing in them is run): open_clip ``.pt`` / ``.safetensors``, OpenAI's TorchScript archives, original EVA-CLIP
files, CLIPSelf and DenseVLM training checkpoints, this package's runner checkpoints and exported encoders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
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
from densevlm_mm.models.clip.encoder_parts import PARTS, read_encoder_parts, select_part, without_parts
from densevlm_mm.models.clip.model_source import ClipSource, resolve_model, tag_config
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch


def read_state_dict(path: str | Path, *, alpha: float | None = None, trust: bool = False) -> dict[str, Tensor]:
    """Read a checkpoint of any published format as a state dict in open_clip's layout.

    Of a runner checkpoint with an entry ``weight_ensemble`` (``alpha`` and ``initial_state_dict``) the ensembled
    weights ``alpha * w + (1 - alpha) * w_init`` are returned, and the log says so.

    Args:
        path: The file.
        alpha: Weight of the trained parameters in the ensemble; None takes the checkpoint's own.
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
        The model, with attributes ``model_name`` and ``model_cfg``; its ``visual`` has open_clip's ``preprocess_cfg``.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If no checkpoint is given, or weights and architecture do not fit each other completely.
    """
    source = resolve_model(model_name, checkpoint, trust=trust)
    model = source.architecture.build_clip()
    if source.file is not None:
        _check_activation(source, source.file, model.visual, image_only=False)
        state_dict = without_parts(read_state_dict(source.file, trust=trust))
        _load(model, with_text_layout(state_dict, custom_text=hasattr(model, "text")), source)
    return _named(model, source)


@dataclass(frozen=True)
class ImageTower:
    """An image tower, and what its weights say of how they are read densely.

    Attributes:
        visual: The tower.
        dense_path: What :class:`DenseImageEncoder` takes as ``dense_path``; None if the weights do not say it.
        parts: Parameters that no CLIP has, by their names in the encoder's state dict.
    """

    visual: nn.Module
    dense_path: Any = None
    parts: Mapping[str, Tensor] = field(default_factory=dict)

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The parameters under a prefix, without it."""
        return select_part(self.parts, prefix)


def load_image_tower(model_name: ModelName | None, checkpoint: str | Path | None, *, trust: bool = False) -> ImageTower:
    """Build an open_clip image tower alone; the file may hold a text tower or not.

    Args:
        model_name: See :func:`resolve_model`.
        checkpoint: See :func:`resolve_model`.
        trust: See :func:`read_state_dict`.

    Returns:
        The image tower, with attributes ``model_name``, ``model_cfg`` and open_clip's ``preprocess_cfg``, in float32 on
        CPU, in eval mode, and what else the file holds of an encoder.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If no checkpoint is given, or weights and architecture do not fit each other completely.
    """
    source = resolve_model(model_name, checkpoint, trust=trust)
    visual = source.architecture.build_visual()
    if source.file is None:
        return ImageTower(_named(visual, source))
    _check_activation(source, source.file, visual, image_only=True)
    state_dict = read_state_dict(source.file, trust=trust)
    _load(visual, select_part(state_dict, "visual."), source)
    dense_path, parts = read_encoder_parts(source.file, trust=trust)
    parts |= {key: value for key, value in state_dict.items() if key.startswith(PARTS)}
    return ImageTower(_named(visual, source), dense_path, parts)


def load_visual(model_name: ModelName | None, checkpoint: str | Path | None, *, trust: bool = False) -> nn.Module:
    """Build an open_clip image tower alone, for what has a dense path of its own.

    Args:
        model_name: See :func:`resolve_model`.
        checkpoint: See :func:`resolve_model`.
        trust: See :func:`read_state_dict`.

    Returns:
        The image tower, see :func:`load_image_tower`.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If no checkpoint is given, if weights and architecture do not fit each other completely, or if the
            weights were trained to be read by another path.
    """
    tower = load_image_tower(model_name, checkpoint, trust=trust)
    if tower.dense_path not in (None, "residual") or tower.parts:
        raise ValueError(
            f"checkpoint {str(checkpoint)!r} was trained with dense_path={tower.dense_path}, which is read by "
            "DenseImageEncoder alone: take an encoder that was trained with dense_path='residual'"
        )
    return tower.visual


def _load(module: nn.Module, state_dict: dict[str, Tensor], source: ClipSource) -> None:
    checkpoint = f"checkpoint {str(source.checkpoint)!r}"
    load_strictly(module, state_dict, source=checkpoint, target=source.architecture.name)


def _named(module: Any, source: ClipSource) -> nn.Module:
    if source.file is None:
        name = source.architecture.name
        print_log(f"{name}: random weights, as asked for by checkpoint='random'", "current", level=30)
    module.model_name, module.model_cfg = source.architecture.name, source.architecture.cfg
    return module


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
