"""The tokenizer of a CLIP architecture."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import open_clip
from torch import Tensor

from densevlm_mm.models.clip.architecture import ModelName, resolve_architecture
from densevlm_mm.models.clip.checkpoint_names import FOLDER_PREFIX, HUB_PREFIX
from densevlm_mm.registry import import_architectures

BPE_FOLDERS: list[Path] = []  # of packages that bring byte-pair files for their architectures
Tokenizer = Callable[..., Tensor]  # (list of N strings, context_length=None) -> token ids (N, context_length)


def model_config(model_name: ModelName) -> dict[str, Any]:
    """The open_clip config of a model, however it is named, see :func:`resolve_architecture`."""
    return resolve_architecture(model_name).cfg


def model_id(model_name: ModelName) -> str:
    """What identifies an architecture in files: its open_clip name, or ``custom-<hash>`` of a config dict."""
    return resolve_architecture(model_name).model_id


def resolve_bpe_path(config: Mapping[str, Any]) -> Path | None:
    """The model's own byte-pair file, if its config names one; a bare file name is looked for in ``BPE_FOLDERS``.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    bpe_path = (config.get("text_cfg", {}).get("tokenizer_kwargs") or {}).get("bpe_path")
    if bpe_path is None:
        return None
    path = Path(bpe_path)
    if path.name == str(bpe_path):
        import_architectures()
        path = next((folder / path for folder in BPE_FOLDERS if (folder / path).is_file()), path)
    if not path.is_file():
        folders = ", ".join(map(str, BPE_FOLDERS))
        raise FileNotFoundError(
            f"byte-pair file {str(path)!r} (text_cfg.tokenizer_kwargs.bpe_path) does not exist; bare names are looked "
            f"for in {folders}"
        )
    return path


def build_tokenizer(model_name: ModelName) -> Tokenizer:
    """Build the tokenizer that belongs to a CLIP architecture.

    Args:
        model_name: The architecture, see :func:`resolve_architecture`.

    Returns:
        A callable: list of N strings -> token ids (N, context_length) int64.

    Raises:
        ValueError: If the architecture is unknown.
        FileNotFoundError: If its byte-pair file is missing.
    """
    architecture = resolve_architecture(model_name)
    bpe_path = resolve_bpe_path(architecture.cfg)
    own_bpe = {} if bpe_path is None else {"bpe_path": str(bpe_path)}
    if isinstance(model_name, str) and model_name.startswith(FOLDER_PREFIX):
        return open_clip.get_tokenizer(model_name, **own_bpe)  # its files may lie in the folder
    # By name where it knows the model: of older SigLIP configs the name alone tells the tokenizer.
    if architecture.name.startswith(HUB_PREFIX) or open_clip.get_model_config(architecture.name) == architecture.cfg:
        return open_clip.get_tokenizer(architecture.name, **own_bpe)
    text_config = architecture.cfg["text_cfg"]
    options = {**(text_config.get("tokenizer_kwargs") or {}), **own_bpe}
    context_length = text_config.get("context_length", 77)
    if text_config.get("hf_tokenizer_name"):
        return open_clip.tokenizer.HFTokenizer(
            text_config["hf_tokenizer_name"],
            context_length=context_length,
            tokenizer_mode=text_config.get("tokenizer_mode"),
            **options,
        )
    return open_clip.SimpleTokenizer(context_length=context_length, **options)
