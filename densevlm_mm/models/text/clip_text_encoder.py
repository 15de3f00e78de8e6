"""A CLIP text tower inside a model that trains it."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn

from densevlm_mm.models.clip.loading import build_clip
from densevlm_mm.models.clip.tokenizer import build_tokenizer
from densevlm_mm.models.encoders.towers.base import unit_norm
from densevlm_mm.models.encoders.towers.split_projection import query_value_weights
from densevlm_mm.models.text.prompt_collisions import check_tokens_differ
from densevlm_mm.models.text.prompt_encoder import check_token_range, encode_tokens, needed_context, tokenize
from densevlm_mm.registry import MODELS

MODES = ("none", "query_value")
Prompts = tuple[tuple[str, ...], ...]


@MODELS.register_module()
class ClipTextEncoder(BaseModule):
    """The text tower of an open_clip model, for models that tune it (CAT-Seg).

    The weights are loaded here, in ``__init__``; ``init_weights()`` does nothing. The tower stays in eval mode: it
    drops nothing.

    Example:
        >>> encoder = ClipTextEncoder("ViT-B-16-quickgelu", "open_clip:openai", trainable="query_value")
        >>> encoder((("a photo of a cat",), ("a photo of a dog",))).shape
        torch.Size([2, 1, 512])

    Args:
        model_name: open_clip name or config dict; None takes it from an exported file.
        checkpoint: Weights with a text tower: path, 'open_clip:<tag>', 'hf-hub:<org>/<repository>', or 'random'.
        trainable: 'none', or 'query_value': the weights (not the biases) of every block's query and value projection.
        trust: Unpickle arbitrary objects from ``checkpoint``; this can run code from the file.
        init_cfg: Must be None; it is part of mmengine's interface.

    Attributes:
        clip: The open_clip model without its image tower.
        embed_dim: Width D of the joint embedding space.
        model_name: open_clip name, 'custom' without one.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If an argument is impossible, if weights and architecture do not fit, or if the tower is not
            open_clip's own transformer and is to be trained.
    """

    def __init__(
        self,
        model_name: str | dict[str, Any] | None = None,
        checkpoint: str | None = None,
        trainable: str = "none",
        trust: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if init_cfg is not None:
            raise ValueError(
                f"ClipTextEncoder loads its weights from `checkpoint`; init_cfg must be None, got {init_cfg}"
            )
        if trainable not in MODES:
            raise ValueError(f"trainable must be one of {MODES}, got {trainable!r}")
        clip: Any = build_clip(model_name, checkpoint, trust=trust)
        self.model_name: str = clip.model_name
        self.embed_dim = int(clip.model_cfg["embed_dim"])
        self._tokenizer = build_tokenizer({"model_name": clip.model_name, "model_cfg": clip.model_cfg})
        clip.visual = nn.Identity()
        self.clip = clip
        self.trainable = trainable
        self._tokens: dict[Prompts, tuple[Tensor, Tensor]] = {}
        self._cached: tuple[Any, Tensor] | None = None
        self.clip.requires_grad_(False)
        if trainable == "query_value":
            for parameter in self._query_value_weights():
                parameter.requires_grad_(True)
        self.train(self.training)

    def _query_value_weights(self) -> set[nn.Parameter]:
        transformer = getattr(getattr(self.clip, "text", self.clip), "transformer", None)
        blocks = getattr(transformer, "resblocks", [])
        if not blocks or not all(type(block) is ResidualAttentionBlock for block in blocks):
            raise ValueError(
                f"the text tower of {self.model_name!r} is not open_clip's own transformer: its query and value cannot "
                "be trained alone; use trainable='none'"
            )
        return set().union(*(query_value_weights(block.attn) for block in blocks))

    def init_weights(self) -> None:
        """Do nothing: the weights come from the checkpoint, in ``__init__``."""
        self._is_init = True

    def train(self, mode: bool = True) -> "ClipTextEncoder":
        """Set the mode, which the tower itself ignores; what :meth:`cached` keeps is forgotten."""
        super().train(mode)
        self.clip.eval()
        self._cached = None
        return self

    def forward(self, prompts: Prompts) -> Tensor:
        """Embed the prompts of every class, recorded for autograd if the tower trains.

        Args:
            prompts: For each of T classes the same number P of prompts.

        Returns:
            (T, P, D) float32, unit norm.

        Raises:
            ValueError: If classes have different numbers of prompts, two are the same to the tokenizer, or it does not
                fit the tower.
        """
        device = next(self.clip.parameters()).device
        tokens_NL, rows_TP = (tensor.to(device) for tensor in self.prepare(prompts))
        self._tokens[prompts] = (tokens_NL, rows_TP)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trainable != "none"):
            features_ND = unit_norm(encode_tokens(self.clip, tokens_NL))
            if len(features_ND) == rows_TP.numel():  # in this order: nothing to repeat
                return features_ND.unflatten(0, rows_TP.shape)
            return features_ND[rows_TP]

    def prepare(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Tokenize prompts, once: what is wrong with them is said here.

        Args:
            prompts: As :meth:`forward` takes them.

        Returns:
            Token ids of the N distinct prompts (N, L), and which of them each class's prompts are (T, P).

        Raises:
            ValueError: As :meth:`forward`.
        """
        if prompts not in self._tokens:
            tokenized = self._tokenize(prompts)
            # One vocabulary for training and one for tests; a program that tries many does not pile them up.
            self._tokens = {**dict([*self._tokens.items()][-1:]), prompts: tokenized}
        return self._tokens[prompts]

    def cached(self, prompts: Prompts) -> Tensor:
        """Embed the prompts once, without gradients and in full precision, until prompts or weights change.

        What is kept is only used for the same prompts and the very tensors, unwritten since, that it was computed
        from: optimizers, ``load_state_dict`` and every other in-place operation raise a tensor's version. Writes
        through ``.data``, which do not (mmengine's EMAHook), come before ``eval()`` or ``train()``, which forget it.

        Args:
            prompts: For each of T classes the same number P of prompts.

        Returns:
            (T, P, D) float32, unit norm; not to be written to.
        """
        weights = tuple((tensor.data_ptr(), tensor._version) for tensor in self.clip.parameters())
        if self._cached is None or self._cached[0] != (prompts, weights):
            device = next(self.clip.parameters()).device
            with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
                self._cached = ((prompts, weights), self(prompts))
        return self._cached[1]

    def _tokenize(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        counts = sorted({len(of_class) for of_class in prompts})
        if len(counts) != 1 or counts[0] == 0:
            raise ValueError(
                f"every class needs the same number of prompts, got {counts}: with synonyms='first' it is that of the "
                "templates"
            )
        distinct = {
            prompt: row for row, prompt in enumerate(dict.fromkeys(p for of_class in prompts for p in of_class))
        }
        tokens_NL = tokenize(self._tokenizer, list(distinct))
        check_tokens_differ(prompts, self._tokenizer)
        check_token_range(self.clip, tokens_NL)
        rows_TP = torch.tensor([[distinct[prompt] for prompt in of_class] for of_class in prompts])
        return tokens_NL[:, : needed_context(self.clip, tokens_NL)].contiguous(), rows_TP

    def _apply(self, fn: Callable, recurse: bool = True) -> "ClipTextEncoder":
        self._cached = None  # moved to another device or type
        return super()._apply(fn, recurse)


def as_prompts(prompts: Sequence[Sequence[str]]) -> Prompts:
    """Make nested prompts hashable, as :class:`ClipTextEncoder` takes them."""
    return tuple(tuple(of_class) for of_class in prompts)
