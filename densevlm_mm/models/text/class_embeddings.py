"""Text embeddings of a vocabulary, with everything one has to know about them, in one file."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import densevlm_mm
from densevlm_mm.files import atomic_write
from densevlm_mm.models.clip import ModelName, resolve_architecture, same_model
from densevlm_mm.models.clip.architecture import config_id
from densevlm_mm.vocabulary.vocabulary import VocabularySource, things_first_mask

FILE_FORMAT = "densevlm_mm.class_embeddings.v2"
NORMALIZATIONS = ("class", "prompt")
_NAMES_IN_COMMAND = 10


def check_normalization(normalization: str) -> None:
    """Raise ValueError if `ClassEmbeddings` knows no such normalization."""
    if normalization not in NORMALIZATIONS:
        raise ValueError(f"unknown normalization {normalization!r}; choose from {NORMALIZATIONS}")


@dataclass(frozen=True, eq=False)
class ClassEmbeddings:
    """K class embeddings and where they come from.

    Args:
        name: Name of the vocabulary.
        classes: K display names.
        is_thing: Thing flags (K,) bool, or None if unknown.
        embeddings: (K, D) float32.
        model: open_clip model name (or ``custom-<hash>`` of a config dict).
        templates: Name of the template set.
        normalization: ``'class'``: mean of the unit prompt vectors, made unit length again; ``'prompt'``: their mean
            as it is (norms of about 0.9; the published training).
        synonyms: Synonym rule, see `Vocabulary.prompt_names`.
        fingerprint: SHA-256 of the text tower's weights.
        precision: ``'float32'``, or the autocast type that the text tower ran in.
        package_version: densevlm_mm version that built it.

    Raises:
        ValueError: If shapes do not fit or a value is not finite.

    Example:
        >>> embeddings = ClassEmbeddings.load("data/class_embeddings/set_316.safetensors")
        >>> embeddings.check_encoder(encoder.embed_dim, encoder.model_name)
        >>> text_KD, thing_mask_K = embeddings.embeddings, embeddings.thing_mask
    """

    name: str
    classes: tuple[str, ...]
    is_thing: np.ndarray | None
    embeddings: Tensor
    model: str
    templates: str
    normalization: str
    fingerprint: str
    synonyms: str = "all"
    precision: str = "float32"
    package_version: str = densevlm_mm.__version__

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 2 or len(self.embeddings) != len(self.classes):
            raise ValueError(
                f"class embeddings {self.name!r}: embeddings of shape {tuple(self.embeddings.shape)} for "
                f"{len(self.classes)} classes"
            )
        if self.is_thing is not None and len(self.is_thing) != len(self.classes):
            raise ValueError(
                f"class embeddings {self.name!r}: {len(self.is_thing)} thing flags for {len(self.classes)} classes"
            )
        check_normalization(self.normalization)
        if not torch.isfinite(self.embeddings).all():
            raise ValueError(f"class embeddings {self.name!r} hold values that are not finite; build them anew")

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def embed_dim(self) -> int:
        """D."""
        return self.embeddings.shape[1]

    @property
    def thing_mask(self) -> Tensor:
        """Thing flags (K,) torch bool.

        Raises:
            ValueError: If the vocabulary has none.
        """
        if self.is_thing is None:
            raise ValueError(
                f"class embeddings {self.name!r} have no thing flags, which tell things from stuff; build them from a "
                'vocabulary that has ("isthing": 0 or 1 for every class)'
            )
        return torch.from_numpy(np.array(self.is_thing, dtype=bool))

    def with_num_things(self, num_things: int) -> "ClassEmbeddings":
        """The same embeddings with exactly the first ``num_things`` classes taken for things."""
        return replace(self, is_thing=things_first_mask(len(self), num_things, self.is_thing, self.name))

    def select(self, classes: Sequence[int | str]) -> "ClassEmbeddings":
        """Pick classes, by index or display name, in the order given.

        Raises:
            KeyError: If a name is not there, or is there twice (once as thing, once as stuff: give the index).
        """
        rows = [self._row(cls) for cls in classes]
        return replace(
            self,
            classes=tuple(self.classes[row] for row in rows),
            is_thing=None if self.is_thing is None else self.is_thing[rows],
            embeddings=self.embeddings[rows],
        )

    def _row(self, cls: int | str) -> int:
        if not isinstance(cls, str):
            if not 0 <= cls < len(self):
                raise KeyError(f"class index {cls} is outside {self.name!r} with {len(self)} classes")
            return int(cls)
        rows = [row for row, name in enumerate(self.classes) if name == cls]
        if len(rows) != 1:
            problem = "has no class" if not rows else f"has two classes, {rows}, named"
            raise KeyError(f"{self.name!r} {problem} {cls!r}; give an index or one of {list(self.classes[:5])}...")
        return rows[0]

    def check_encoder(self, embed_dim: int | None = None, model_name: ModelName | None = None) -> None:
        """Check that an image encoder speaks the language of these embeddings.

        Args:
            embed_dim: Its embedding dimension; None = not checked.
            model_name: Its architecture by any of its names. What does not tell it is not checked: None, ``'custom'``
                (the encoder's name for a config of one's own), a name with a scheme (``hf-hub:...``).

        Raises:
            ValueError: If dimension or model differ.
        """
        check_same_clip(self.name, self.model, self.embed_dim, embed_dim, model_name)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file, whole or not at all, with a checksum of all that is in it.

        Raises:
            OSError: If it cannot be written.
        """
        embeddings = self.embeddings.detach().cpu().float().contiguous()
        metadata = {
            "format": FILE_FORMAT,
            "classes": json.dumps(self.classes),
            "is_thing": json.dumps(None if self.is_thing is None else [int(flag) for flag in self.is_thing]),
        }
        metadata |= {field: getattr(self, field) for field in _TEXT_FIELDS}
        metadata["sha256"] = _checksum(metadata, embeddings)
        with atomic_write(path) as partial:
            partial.write_bytes(save({"embeddings": embeddings}, metadata))

    @classmethod
    def load(cls, path: str | Path, remedy: str | None = None) -> "ClassEmbeddings":
        """Read a file that `save` wrote.

        Args:
            path: The file.
            remedy: How error messages end; None = with the command that makes such a file.

        Raises:
            FileNotFoundError: If it does not exist.
            ValueError: If it is something else, or one bit of it is not as it was written.
        """
        path = Path(path)
        remedy = remedy or f"{build_command(out=path)} makes it"
        if not path.is_file():
            raise FileNotFoundError(f"class embeddings {str(path)!r} do not exist; {remedy}")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = dict(file.metadata() or {})
                embeddings = file.get_tensor("embeddings") if "embeddings" in file.keys() else None  # noqa: SIM118
        except (SafetensorError, RuntimeError, ValueError, LookupError, TypeError) as error:
            raise ValueError(f"{str(path)!r} is no safetensors file or is damaged ({error}); {remedy}") from error
        if metadata.get("format") != FILE_FORMAT or embeddings is None:
            raise ValueError(
                f"{str(path)!r} holds no class embeddings (format {metadata.get('format')!r}, not {FILE_FORMAT!r}); "
                f"{remedy}"
            )
        if metadata.pop("sha256", None) != _checksum(metadata, embeddings):
            raise ValueError(f"{str(path)!r} is damaged: its content does not have its checksum; {remedy}")
        is_thing = json.loads(metadata["is_thing"])
        return cls(
            classes=tuple(json.loads(metadata["classes"])),
            is_thing=None if is_thing is None else np.array(is_thing, dtype=bool),
            embeddings=embeddings,
            **{field: metadata[field] for field in _TEXT_FIELDS},
        )


def check_same_clip(
    name: str, model: str, dimension: int, encoder_dim: int | None, encoder_name: ModelName | None
) -> None:
    """Check that embeddings and an image encoder are of one CLIP; see `ClassEmbeddings.check_encoder`.

    Args:
        name: Name of the embeddings' vocabulary.
        model: Their model's id.
        dimension: Their dimension.
        encoder_dim: The encoder's, or None.
        encoder_name: The encoder's architecture by any of its names, or None.

    Raises:
        ValueError: If dimension or model differ.
    """
    fix = f"build them with the encoder's own text tower: {build_command(model_name=encoder_name)}"
    if encoder_dim is not None and encoder_dim != dimension:
        raise ValueError(
            f"class embeddings {name!r} of {model!r} have dimension {dimension}, the image encoder has {encoder_dim}; "
            f"{fix}"
        )
    if encoder_name in (None, "custom") or ":" in model or (isinstance(encoder_name, str) and ":" in encoder_name):
        return
    encoder = resolve_architecture(encoder_name)
    own_config = model.startswith("custom-")
    if not (model == config_id(encoder.cfg) if own_config else same_model(model, encoder_name)):
        raise ValueError(
            f"class embeddings {name!r} were built with the text tower of {model!r}, the image encoder is "
            f"{encoder.model_id!r}; {fix}"
        )


_TEXT_FIELDS = tuple(field.name for field in fields(ClassEmbeddings) if field.type is str)


def _checksum(metadata: Mapping[str, str], embeddings: Tensor) -> str:
    described = json.dumps([sorted(metadata.items()), list(embeddings.shape), str(embeddings.dtype)])
    digest = hashlib.sha256(described.encode())
    digest.update(embeddings.numpy().tobytes())
    return digest.hexdigest()


def build_command(
    vocabulary: VocabularySource | None = None,
    model_name: ModelName | None = None,
    checkpoint: str | Path | None = None,
    options: Sequence[str] = (),
    out: str | Path = "FILE.safetensors",
) -> str:
    """The shell command that builds such a file, for error messages."""
    model = model_name if isinstance(model_name, str) else ("MODEL" if model_name is None else "MODEL_CONFIG.json")
    words = [*_vocabulary_words(vocabulary), "--model", model, "--checkpoint", str(checkpoint or "CHECKPOINT")]
    return f"`python tools/build_class_embeddings.py {shlex.join([*words, *options, '--out', str(out)])}`"


def _vocabulary_words(vocabulary: VocabularySource | None) -> list[str]:
    if isinstance(vocabulary, str | Path):
        return [str(vocabulary)]
    names = list(vocabulary) if isinstance(vocabulary, list | tuple) else []
    can_be_typed = 2 <= len(names) <= _NAMES_IN_COMMAND and all(isinstance(name, str) for name in names)
    return names if can_be_typed else ["NAMES.txt" if names else "VOCABULARY"]
