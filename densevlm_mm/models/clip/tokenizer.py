"""The tokenizer of a CLIP architecture."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from densevlm_mm.registry import import_architectures

BPE_FOLDERS: list[Path] = []  # of packages that bring byte-pair files for their architectures
Tokenizer = Callable[..., Tensor]  # (list of N strings, context_length=None) -> token ids (N, context_length)


def model_config(model_name: str | dict) -> dict[str, Any]:
    """The open_clip config of a model name, or the given config dict itself.

    Raises:
        ValueError: If open_clip does not know the name.
    """
    if not isinstance(model_name, str):
        return dict(model_name.get("model_cfg", model_name))  # or as in an open_clip_config.json
    import open_clip  # takes seconds to import

    import_architectures()
    config = open_clip.get_model_config(model_name)
    if config is None:
        raise ValueError(
            f"unknown CLIP architecture {model_name!r}; open_clip.list_models() gives the known ones, or give an "
            "open_clip config dict with 'embed_dim', 'vision_cfg' and 'text_cfg'"
        )
    return config


def model_id(model_name: str | dict) -> str:
    """What identifies an architecture in files: its open_clip name, or ``custom-<hash>`` of a config dict."""
    if isinstance(model_name, str):
        return model_name
    config = json.dumps(model_config(model_name), sort_keys=True, default=str)
    return f"custom-{hashlib.sha256(config.encode()).hexdigest()[:12]}"


def resolve_bpe_path(config: dict[str, Any]) -> Path | None:
    """The model's own byte-pair file, if its config names one; a bare file name is looked for in ``BPE_FOLDERS``.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    bpe_path = config.get("text_cfg", {}).get("tokenizer_kwargs", {}).get("bpe_path")
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


def build_tokenizer(model_name: str | dict) -> Tokenizer:
    """Builds the tokenizer that belongs to a CLIP architecture.

    Args:
        model_name: open_clip model name or config dict.

    Returns:
        A callable: list of N strings -> token ids (N, context_length) int64.

    Raises:
        ValueError: If the architecture is unknown.
        FileNotFoundError: If its byte-pair file is missing.
    """
    config = model_config(model_name)
    import open_clip  # takes seconds to import

    bpe_path = resolve_bpe_path(config)
    own_bpe = {} if bpe_path is None else {"bpe_path": str(bpe_path)}
    if isinstance(model_name, str):
        return open_clip.get_tokenizer(model_name, **own_bpe)
    text_config = config.get("text_cfg", {})
    options = {**text_config.get("tokenizer_kwargs", {}), **own_bpe}
    context_length = text_config.get("context_length", 77)
    if text_config.get("hf_tokenizer_name"):
        return open_clip.tokenizer.HFTokenizer(
            text_config["hf_tokenizer_name"],
            context_length=context_length,
            tokenizer_mode=text_config.get("tokenizer_mode"),
            **options,
        )
    return open_clip.SimpleTokenizer(context_length=context_length, **options)
