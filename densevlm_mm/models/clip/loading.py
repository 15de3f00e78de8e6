"""Building open_clip models with weights from every published checkpoint format, strictly.

Formats (all read with ``weights_only``): open_clip ``.pt`` / ``.safetensors``, OpenAI's TorchScript archives, original
EVA-CLIP files, CLIPSelf and DenseVLM training checkpoints, this package's runner checkpoints and exported encoders.
"""

import json
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from open_clip.modified_resnet import ModifiedResNet
from open_clip.pretrained import (
    download_pretrained,
    download_pretrained_from_hf,
    get_pretrained_cfg,
    list_pretrained_tags_by_model,
)
from open_clip.timm_model import TimmModel
from torch import Tensor, nn

from densevlm_mm.models.clip.architecture import HUB_PREFIX, ClipArchitecture, resolve_architecture
from densevlm_mm.models.clip.checkpoint_files import checkpoint_format, read_content, read_metadata
from densevlm_mm.models.clip.checkpoint_layouts import to_open_clip_layout, with_text_layout
from densevlm_mm.models.clip.state_dict_mismatch import StateDictMismatch

ModelName = str | dict[str, Any] | None
_TAG_PREFIX = "open_clip:"


def read_state_dict(path: str | Path, *, trust: bool = False) -> dict[str, Tensor]:
    """Read a checkpoint of any published format as a state dict in open_clip's layout.

    Of a runner checkpoint with an entry ``weight_ensemble`` (``alpha`` and ``initial_state_dict``) the ensembled
    weights ``alpha * w + (1 - alpha) * w_init`` are returned.

    Args:
        path: the file.
        trust: unpickle arbitrary objects too; this can run code from the file.

    Returns:
        ``visual.*`` keys and, if the file has them, text tower and ``logit_scale``, on CPU, in the stored precision.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no checkpoint, is damaged, has untrusted objects or no image tower.
    """
    path = Path(path)
    return to_open_clip_layout(read_content(path, trust=trust), source=f"checkpoint {str(path)!r}")


def build_clip(model_name: ModelName, checkpoint: str | Path | None, *, trust: bool = False) -> nn.Module:
    """Build an open_clip model, image and text tower, in float32 on CPU, in eval mode.

    Example:
        >>> model = build_clip("ViT-B-16-quickgelu", "open_clip:openai")
        >>> encoder = DenseImageEncoder(clip_model=model)

    Args:
        model_name: open_clip name or config; None takes it from an exported file's metadata.
        checkpoint: path, 'open_clip:<tag>', 'hf-hub:<org>/<repository>', or 'random' for random weights.
        trust: see :func:`read_state_dict`.

    Returns:
        The model, with attributes ``model_name`` and ``model_cfg``.

    Raises:
        FileNotFoundError: if the checkpoint file does not exist.
        ValueError: if no checkpoint is given, or weights and architecture do not fit each other completely.
    """
    return _build(model_name, checkpoint, trust, image_only=False)


def load_visual(model_name: ModelName, checkpoint: str | Path | None, *, trust: bool = False) -> nn.Module:
    """Build an open_clip image tower alone; the file may hold a text tower or not.

    Args:
        model_name: see :func:`build_clip`.
        checkpoint: see :func:`build_clip`.
        trust: see :func:`read_state_dict`.

    Returns:
        The image tower, with attributes ``model_name`` and ``model_cfg``, in float32 on CPU, in eval mode.

    Raises:
        FileNotFoundError: if the checkpoint file does not exist.
        ValueError: if no checkpoint is given, or weights and architecture do not fit each other completely.
    """
    return _build(model_name, checkpoint, trust, image_only=True)


def _build(model_name: ModelName, checkpoint: str | Path | None, trust: bool, image_only: bool) -> nn.Module:
    if checkpoint is None:
        raise ValueError(
            f"no checkpoint given for {model_name!r}: give a path, 'open_clip:<tag>' or 'hf-hub:<org>/<repository>'; "
            "'random' asks for random weights explicitly"
        )
    checkpoint = str(checkpoint)
    path = None if checkpoint == "random" else locate_checkpoint(model_name, checkpoint)
    architecture = _architecture_of(model_name, checkpoint, path)
    module: Any = architecture.build_visual() if image_only else architecture.build_clip()
    if path is None:
        print_log(f"{architecture.name}: random weights, as asked for by checkpoint='random'", "current", level=30)
    else:
        _check_activation(architecture, module if image_only else module.visual, checkpoint, path, image_only)
        state_dict = read_state_dict(path, trust=trust)
        if image_only:
            state_dict = {k.removeprefix("visual."): v for k, v in state_dict.items() if k.startswith("visual.")}
        else:
            state_dict = with_text_layout(state_dict, custom_text=hasattr(module, "text"))
        load_strictly(module, state_dict, source=f"checkpoint {checkpoint!r}", target=architecture.name)
    module.model_name, module.model_cfg = architecture.name, architecture.cfg
    return module


def locate_checkpoint(model_name: ModelName, checkpoint: str) -> Path:
    """Return the local file of a checkpoint, downloading it if it is named by an open_clip tag or a hub id.

    Args:
        model_name: see :func:`build_clip`; needed to resolve a tag.
        checkpoint: path, 'open_clip:<tag>' or 'hf-hub:<org>/<repository>'.

    Raises:
        ValueError: if open_clip has no such tag for the architecture.
    """
    if checkpoint.startswith(HUB_PREFIX):
        return Path(download_pretrained_from_hf(checkpoint.removeprefix(HUB_PREFIX)))
    if checkpoint.startswith(_TAG_PREFIX):
        tag = checkpoint.removeprefix(_TAG_PREFIX)
        cfg = get_pretrained_cfg(model_name, tag) if isinstance(model_name, str) else {}
        if not cfg:
            tags = list_pretrained_tags_by_model(model_name) if isinstance(model_name, str) else []
            raise ValueError(f"open_clip has no pretrained tag {tag!r} for {model_name!r}; its tags are {tags}")
        return Path(download_pretrained(cfg))
    return Path(checkpoint)


def _architecture_of(model_name: ModelName, checkpoint: str, path: Path | None) -> ClipArchitecture:
    """Decide the architecture: what was asked for, checked against what the file says about itself."""
    metadata = {} if path is None else read_metadata(path)
    stored_cfg = json.loads(metadata["model_cfg"]) if "model_cfg" in metadata else None
    if model_name is None:
        if checkpoint.startswith(HUB_PREFIX):
            return resolve_architecture(checkpoint)
        if stored_cfg is None:
            raise ValueError(f"checkpoint {checkpoint!r} does not say its architecture: give model_name")
        architecture = resolve_architecture({"model_cfg": stored_cfg})
        return ClipArchitecture(metadata.get("model_name", "custom"), architecture.cfg)
    tag = checkpoint.removeprefix(_TAG_PREFIX) if checkpoint.startswith(_TAG_PREFIX) else None
    architecture = resolve_architecture(model_name, tag)
    if stored_cfg is not None:
        for key in ("embed_dim", "vision_cfg", "quick_gelu"):
            if (stored_cfg.get(key) or None) != (architecture.cfg.get(key) or None):
                raise ValueError(
                    f"checkpoint {checkpoint!r} was exported from {metadata.get('model_name')!r}, which differs from "
                    f"{architecture.name!r} in {key!r}: {stored_cfg.get(key)} against {architecture.cfg.get(key)}"
                )
    return architecture


def _check_activation(
    architecture: ClipArchitecture, visual: nn.Module, checkpoint: str, path: Path, image_only: bool
) -> None:
    """Keep weights trained with QuickGELU from being run with GELU, which no key or shape would reveal."""
    if image_only and isinstance(visual, (TimmModel, ModifiedResNet)):
        return  # neither has an activation that open_clip's quick_gelu switches
    if checkpoint.startswith(_TAG_PREFIX):
        tag = checkpoint.removeprefix(_TAG_PREFIX)
        needed: bool | None = bool(get_pretrained_cfg(architecture.name, tag).get("quick_gelu", False))
    else:
        needed = True if checkpoint_format(path) == "torchscript" else None
    if needed is not None and needed != architecture.quick_gelu:
        other = f"{architecture.name}-quickgelu" if needed else architecture.name.removesuffix("-quickgelu")
        raise ValueError(
            f"checkpoint {checkpoint!r} was trained {'with' if needed else 'without'} QuickGELU but "
            f"{architecture.name!r} is {'not' if needed else ''} built with it: use model_name={other!r}"
        )
    hints = ("openai", "quickgelu", "quick_gelu")
    if needed is None and not architecture.quick_gelu and any(hint in path.name.lower() for hint in hints):
        print_log(
            f"{path.name}: the name speaks of weights trained with QuickGELU, which {architecture.name!r} is built "
            f"without; the keys are the same, so this cannot be checked. Use {architecture.name}-quickgelu if so",
            "current",
            level=30,
        )


def load_strictly(module: nn.Module, state_dict: dict[str, Tensor], source: str, target: str) -> None:
    """Load a state dict; not one key may be missing, left over or of another shape.

    Args:
        module: what to load into.
        state_dict: in the module's own layout; any floating dtype.
        source: the file, for messages.
        target: the architecture's name, for messages.

    Raises:
        ValueError: naming the first few keys and the likely cause.
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
