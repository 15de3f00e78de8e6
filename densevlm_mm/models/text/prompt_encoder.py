"""Prompts through the text tower of a CLIP model."""

import hashlib
import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import normalize

from densevlm_mm.models.clip.tokenizer import Tokenizer
from densevlm_mm.progress import track_batches


class _TextTower(nn.Module):
    """Gives ``encode_text`` the ``forward`` that `functional_call` needs."""

    def __init__(self, clip_model: nn.Module) -> None:
        super().__init__()
        self.clip: Any = clip_model

    def forward(self, tokens: Tensor) -> Tensor:
        return self.clip.encode_text(tokens)


@torch.no_grad()
def encode_prompts(
    clip_model: nn.Module,
    tokenizer: Tokenizer,
    prompts: Sequence[str],
    batch_size: int = 256,
    device: str | torch.device | None = None,
    autocast_dtype: torch.dtype | None = None,
    show: str | None = None,
) -> Tensor:
    """Encode N prompts; each distinct one goes through the tower once.

    Prompts of one length make a batch, without padding: for the ViLD prompts of OV-LVIS and set_316 that takes about
    half the time of batches in the order given.

    Args:
        clip_model: open_clip model; moved to ``device``, its training flag is kept.
        tokenizer: Its tokenizer.
        prompts: N strings.
        batch_size: Prompts per forward pass; has no influence on the result.
        device: Where to compute; None = where the model is.
        autocast_dtype: E.g. ``torch.bfloat16`` for speed; None = the model's own precision, also where the caller is
            under autocast.
        show: What the progress is called that is shown; None = none is.

    Returns:
        Unit vectors (N, D) float32 on the CPU.

    Raises:
        ValueError: If there are no prompts, or the tokenizer does not fit the model, or an output is not finite.
    """
    if not prompts:
        raise ValueError("no prompts to encode")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    distinct = {prompt: row for row, prompt in enumerate(dict.fromkeys(prompts))}
    tokens_NL = tokenize(tokenizer, list(distinct))
    check_token_range(clip_model, tokens_NL)
    if device is None:
        device = next(parameter.device for name, parameter in clip_model.named_parameters() if _is_text(name))
    clip_model.to(device)
    lengths_N = needed_lengths(clip_model, tokens_NL)
    batches = _batches_of_one_length(lengths_N, batch_size)
    was_training = clip_model.training
    clip_model.eval()
    rows = []
    try:
        for batch_B in batches if show is None else track_batches(batches, len(tokens_NL), show):
            tokens_BL = tokens_NL[batch_B, : int(lengths_N[batch_B[0]])]
            with _autocast(torch.device(device), autocast_dtype):
                features_BD = encode_tokens(clip_model, tokens_BL.to(device))
            rows.append(normalize(features_BD.float(), dim=-1).cpu())
    finally:
        clip_model.train(was_training)
    # The batches were made by length: back to the order given.
    features_ND = torch.cat(rows)[torch.cat(batches).argsort()]
    if not torch.isfinite(features_ND).all():
        raise ValueError("the text tower gave values that are not finite; check the checkpoint (or compute in float32)")
    return features_ND[torch.tensor([distinct[prompt] for prompt in prompts])]


def _batches_of_one_length(lengths_N: Tensor, batch_size: int) -> list[Tensor]:
    """Row indices in batches, short prompts first."""
    groups = ((lengths_N == length).nonzero().flatten() for length in lengths_N.unique())
    return [batch for group in groups for batch in group.split(batch_size)]


def encode_tokens(clip_model: nn.Module, tokens_NL: Tensor) -> Tensor:
    """Encode token ids as the model stands: its mode, its device, with gradients where they are enabled.

    Args:
        clip_model: open_clip model.
        tokens_NL: Token ids (N, L); L may be anything from `needed_context` to the whole context length.

    Returns:
        (N, D), not normalised.
    """
    return functional_call(_TextTower(clip_model), _cut_context(clip_model, tokens_NL.shape[1]), (tokens_NL,))


def tokenize(tokenizer: Tokenizer, prompts: list[str]) -> Tensor:
    """Token ids (N, context length); logs a warning if a prompt is too long (tokenizers cut it without a word)."""
    tokens_NL = tokenizer(prompts)
    end_of_text = getattr(tokenizer, "eot_token_id", None)  # SimpleTokenizer; the others pad in ways of their own
    full = [] if end_of_text is None else (tokens_NL[:, -1] == end_of_text).nonzero().flatten().tolist()
    if full:
        context_length = tokens_NL.shape[1]
        # A prompt that just fits looks like one that was cut; with one place more only the cut one still fills it.
        longer = tokenizer([prompts[row] for row in full], context_length=context_length + 1)
        cut = [prompts[row] for row, last in zip(full, longer[:, -1].tolist(), strict=True) if last == end_of_text]
        if cut:
            print_log(
                f"{len(cut)} of {len(prompts)} prompts are longer than the context of {context_length} tokens and are "
                f"cut, e.g. {cut[0]!r}",
                logger="current",
                level=logging.WARNING,
            )
    return tokens_NL


def text_tower_fingerprint(clip_model: nn.Module) -> str:
    """SHA-256 of the text tower's tensors (names, types, shapes, bytes): equal if and only if the weights are."""
    digest = hashlib.sha256()
    for name, tensor in sorted(clip_model.state_dict().items()):
        if _is_text(name):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(memoryview(flat.view(torch.uint8).numpy()))
    return digest.hexdigest()


def _is_text(name: str) -> bool:
    return not name.startswith(("visual.", "logit_scale", "logit_bias"))


def check_token_range(clip_model: nn.Module, tokens_NL: Tensor) -> None:
    """Raise ValueError if a token id lies outside the text tower's vocabulary."""
    embedding = getattr(getattr(clip_model, "text", clip_model), "token_embedding", None)
    if isinstance(embedding, nn.Embedding) and int(tokens_NL.max()) >= embedding.num_embeddings:
        raise ValueError(
            f"token id {int(tokens_NL.max())} is outside the text tower's vocabulary of {embedding.num_embeddings}: "
            "the tokenizer belongs to another model. Give the model_name that the checkpoint was made with (for your "
            "own model: text_cfg.tokenizer_kwargs.bpe_path)"
        )


def needed_context(clip_model: nn.Module, tokens_NL: Tensor) -> int:
    """The number of leading tokens that decide all embeddings of a batch, see `needed_lengths`."""
    return int(needed_lengths(clip_model, tokens_NL).max())


def needed_lengths(clip_model: nn.Module, tokens_NL: Tensor) -> Tensor:
    """For each prompt (N,) the number of leading tokens that decide its embedding.

    Under a causal mask nothing behind the end-of-text token reaches it, so cutting the padding off (77 -> about 20
    tokens) changes nothing but the time. Towers that work otherwise need their whole context.
    """
    context_length = tokens_NL.shape[1]
    text = getattr(clip_model, "text", clip_model)
    mask = getattr(text, "attn_mask", None)
    positions = getattr(text, "positional_embedding", None)
    pooling = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    fits = (
        isinstance(mask, Tensor)
        and isinstance(positions, Tensor)
        and mask.shape == (context_length, context_length)
        and positions.shape[0] == context_length
        and pooling in ("argmax", "eos")
        and getattr(text, "cls_emb", None) is None
        and bool(torch.isinf(mask).triu(1).sum() == context_length * (context_length - 1) // 2)
    )
    if not fits:
        return torch.full((len(tokens_NL),), context_length)
    return (tokens_NL.bool() * torch.arange(1, context_length + 1)).amax(dim=1).clamp(min=1)


def _cut_context(clip_model: nn.Module, length: int) -> dict[str, Tensor]:
    """Tensors that make the tower run on its first ``length`` positions; none if that is the whole context."""
    text: Any = getattr(clip_model, "text", clip_model)
    positions = getattr(text, "positional_embedding", None)
    if not isinstance(positions, Tensor) or positions.shape[0] == length:
        return {}
    prefix = "clip." if text is clip_model else "clip.text."
    return {
        f"{prefix}attn_mask": text.attn_mask[:length, :length],
        f"{prefix}positional_embedding": positions[:length],
    }


def _autocast(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    return torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
