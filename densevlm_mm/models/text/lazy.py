"""Class embeddings of a model, got when they are first used: `LazyClassEmbeddings`."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from densevlm_mm.models.clip import ModelName, resolve_architecture
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings, check_same_clip
from densevlm_mm.models.text.request import ClassEmbeddingsRequest
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.vocabulary import VocabularySource

EmbeddingsConfig = Mapping[str, Any] | str | Path | ClassEmbeddings


class LazyClassEmbeddings:
    """Class embeddings that a model was configured with.

    A test never reads what a training contrasts, and to encode that can take twenty minutes: nothing is encoded and no
    file opened before it is needed. Names are known at once where they are in no file of the user's.

    The tensors are constants and no part of the model: no buffers, which would have to be there before DDP and EMA copy
    the model. Copies of the model share them.

    Args:
        cfg: What `ClassEmbeddingsRequest.from_config` takes, or ready embeddings.
        model_name: The image encoder's name; embeddings of another model are refused.
        checkpoint: Its weights (with a text tower).

    Raises:
        ValueError: If an option is unknown, impossible or missing; or if the names, where they are known at once, are
            no vocabulary.
    """

    def __init__(
        self,
        cfg: EmbeddingsConfig,
        *,
        model_name: ModelName | None = None,
        checkpoint: str | Path | None = None,
    ) -> None:
        self._encoder: tuple[int | None, ModelName | None] = (None, None)
        self._tensors: dict[tuple[str, torch.device], Tensor] = {}
        self._embeddings: ClassEmbeddings | None = None
        self._request: ClassEmbeddingsRequest | None = None
        if isinstance(cfg, ClassEmbeddings):
            self._embeddings = cfg
        else:
            self._request = ClassEmbeddingsRequest.from_config(cfg, model_name=model_name, checkpoint=checkpoint)
            if not self._request.needs_files:
                _ = self._request.classes  # raises what is wrong with them

    def with_vocabulary(self, vocabulary: VocabularySource) -> "LazyClassEmbeddings":
        """Embeddings of other classes, for the same encoder, with the same prompts; the text tower stays in memory.

        Args:
            vocabulary: As `Vocabulary.load` takes it.

        Raises:
            FileNotFoundError: If a checkpoint does not exist.
            ValueError: If these embeddings come from a file, or the vocabulary is none.
        """
        if self._request is None:
            raise ValueError(f"class embeddings {self.name!r} were given ready; no others can be made of them")
        other = object.__new__(LazyClassEmbeddings)
        other._encoder, other._tensors, other._embeddings = self._encoder, {}, None
        other._request = self._request.for_vocabulary(Vocabulary.load(vocabulary))
        self._request = replace(self._request, tower=other._request.tower)
        _ = other._request.classes  # raises what is wrong with them
        return other

    def __deepcopy__(self, memo: dict) -> "LazyClassEmbeddings":
        return self

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def name(self) -> str:
        """Name of the vocabulary."""
        return self._names.name

    @property
    def classes(self) -> tuple[str, ...]:
        """K display names; opens a user's file, encodes nothing."""
        return self._names.classes

    @property
    def vocabulary(self) -> Vocabulary:
        """Names and prompt names of the classes, without ``extra_classes``; encodes nothing.

        Raises:
            FileNotFoundError: If a file of the user's is not there.
            ValueError: If there are only ready embeddings, of which nobody knows the prompts.
        """
        if self._request is None or self._request.vocabulary is None:
            raise ValueError(
                f"class embeddings {self.name!r} come from a file, of which no others can be made; give "
                "dict(vocabulary=..., model_name=..., checkpoint=...), with which embeddings can be built."
            )
        return Vocabulary.load(self._request.vocabulary)

    @property
    def embed_dim(self) -> int:
        """D; opens a user's file, encodes nothing."""
        if self._request is None or self._embeddings is not None:
            return self._names.embed_dim
        return self._request.embed_dim()

    def for_encoder(self, embed_dim: int, model_name: ModelName | None) -> None:
        """Say which image encoder these embeddings are compared with.

        Raises:
            ValueError: Here, or where they are in a file of the user's when they are first used, if they are not of its
                dimension and model.
        """
        self._encoder = (embed_dim, model_name)
        if self._embeddings is not None:
            self._embeddings.check_encoder(embed_dim, model_name)
        elif self._request is not None and not self._request.needs_files and self._request.model_name is not None:
            named = resolve_architecture(self._request.model_name)
            check_same_clip(self.name, named.model_id, named.cfg["embed_dim"], embed_dim, model_name)

    def resolve(self) -> ClassEmbeddings:
        """The embeddings; the first call may read or encode them. Of several processes all have to call it.

        Raises:
            FileNotFoundError: If a file is not there; for a file of embeddings with the command that makes it.
            ValueError: If they are not what the model needs.
        """
        if self._embeddings is None:
            assert self._request is not None
            resolved = self._request.resolve()
            resolved.check_encoder(*self._encoder)
            self._embeddings = resolved
        return self._embeddings

    def text(self, device: torch.device) -> Tensor:
        """Embeddings (K, D) float32 on a device, as they are."""
        return self._tensor("text", device)

    def unit_text(self, device: torch.device) -> Tensor:
        """Embeddings (K, D) float32 on a device, of unit norm."""
        return self._tensor("unit_text", device)

    def thing_mask(self, device: torch.device) -> Tensor:
        """Thing flags (K,) bool on a device."""
        return self._tensor("thing_mask", device)

    @property
    def _names(self) -> Any:
        if self._embeddings is not None:
            return self._embeddings
        assert self._request is not None
        return self._request.classes

    def _tensor(self, kind: str, device: torch.device) -> Tensor:
        if (kind, device) not in self._tensors:
            self._tensors[kind, device] = self._make(kind).to(device)
        return self._tensors[kind, device]

    @torch.compiler.disable  # reads files and runs the text tower; what it made is a constant of the compiled graph
    def _make(self, kind: str) -> Tensor:
        # The first use may be in a test, the next in a training: no inference tensors, no autocast type.
        with torch.inference_mode(False), torch.no_grad():
            embeddings = self.resolve()
            if kind == "thing_mask":
                return embeddings.thing_mask
            text_KD = embeddings.embeddings.clone()
            return normalize(text_KD, dim=-1) if kind == "unit_text" else text_KD
