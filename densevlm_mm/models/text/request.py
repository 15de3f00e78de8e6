"""What a config says about class embeddings, and how they are got: `ClassEmbeddingsRequest`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.device import get_device
from mmengine.logging import print_log

from densevlm_mm.main_process import on_main_process
from densevlm_mm.models.clip import ModelName, resolve_architecture, resolve_model
from densevlm_mm.models.text.builder import build_class_embeddings, class_prompts
from densevlm_mm.models.text.cache_folder import cache_folder
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings, build_command, check_normalization
from densevlm_mm.models.text.kept_embeddings import KeptEmbeddings
from densevlm_mm.models.text.text_tower import TextTower
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.templates import get_template_set
from densevlm_mm.vocabulary.vocabulary import SYNONYM_RULES, VocabularySource

_PROMPT_OPTIONS: dict[str, Any] = {"templates": "vild", "normalization": "class", "synonyms": "all"}


@dataclass(frozen=True, eq=False)
class ClassEmbeddingsRequest:
    """Class embeddings by their config: a file, or a vocabulary that is encoded once and kept.

    Nothing is read or encoded before it is asked for, but for the options themselves.

    Args:
        file: File of embeddings. With it the further keys describe what it must hold, and are checked.
        vocabulary: Names, as `Vocabulary.load` takes them.
        templates: Prompt templates, see `class_prompts`; None = ``'vild'``, or with a file whatever it has.
        normalization: See `ClassEmbeddings`; None = ``'class'``, or with a file whatever it has.
        synonyms: See `Vocabulary.prompt_names`; None = ``'all'``, or with a file whatever it has.
        num_things: Take exactly the first so many classes for things.
        extra_classes: Names that are appended to the vocabulary.
        model_name: The CLIP whose text tower encodes, see `densevlm_mm.models.clip.resolve_model`.
        checkpoint: Its weights, likewise.
        cache_dir: Folder of embeddings that are kept; None = see `cache_folder`.
        trust: Allow pickled checkpoints of any content, see `build_clip`.
        tower: The text tower of ``model_name`` and ``checkpoint``, if it stays in memory for other requests.

    Raises:
        ValueError: If an option has no possible value, or what is needed is missing.
    """

    file: str | Path | None = None
    vocabulary: VocabularySource | None = None
    templates: str | Sequence[str] | None = None
    normalization: str | None = None
    synonyms: str | None = None
    num_things: int | None = None
    extra_classes: Sequence[str] = ()
    model_name: ModelName | None = None
    checkpoint: str | Path | None = None
    cache_dir: str | Path | None = None
    trust: bool = False
    tower: TextTower | None = None

    def __post_init__(self) -> None:
        if self.file is None and self.vocabulary is None:
            raise ValueError(f"class embeddings need 'file' or 'vocabulary'; got {self._given()}")
        if self.normalization is not None:
            check_normalization(self.normalization)
        if self.templates is not None:
            get_template_set(self.templates)
        if self.synonyms is not None and self.synonyms not in SYNONYM_RULES:
            raise ValueError(f"unknown synonyms rule {self.synonyms!r}; choose from {SYNONYM_RULES}")
        if self.file is None and self.checkpoint is None:
            raise ValueError(
                f"building embeddings of {self.vocabulary!r} needs a model_name and a checkpoint with a text tower"
            )
        # A program may change its folder later.
        object.__setattr__(self, "cache_dir", cache_folder(self.cache_dir))

    @classmethod
    def from_config(
        cls,
        cfg: Mapping[str, Any] | str | Path,
        *,
        model_name: ModelName | None = None,
        checkpoint: str | Path | None = None,
        cache_dir: str | Path | None = None,
        trust: bool = False,
    ) -> "ClassEmbeddingsRequest":
        """Read a config.

        Args:
            cfg: ``dict(vocabulary=..., templates=..., ...)`` or ``dict(file=..., ...)`` with the class's own arguments
                but ``trust``, or a path of a file.
            model_name: What stands for ``model_name`` where the config says none.
            checkpoint: Likewise.
            cache_dir: Likewise.
            trust: See the class.

        Raises:
            ValueError: If an option is unknown, impossible or missing.
        """
        options: dict[str, Any] = dict(cfg) if isinstance(cfg, Mapping) else {"file": cfg}
        known = {field.name for field in fields(cls)} - {"trust", "tower"}
        if unknown := sorted(set(options) - known):
            raise ValueError(f"unknown class-embedding option(s) {unknown}; known: {sorted(known)}")
        for key, default in (("model_name", model_name), ("checkpoint", checkpoint), ("cache_dir", cache_dir)):
            options[key] = options.get(key) or default
        options["extra_classes"] = tuple(options.get("extra_classes") or ())
        return cls(**options, trust=trust)

    @property
    def command(self) -> str:
        """The shell command that makes the file of these embeddings."""
        options: list[str] = []
        for key in (*_PROMPT_OPTIONS, "num_things"):
            if isinstance(value := getattr(self, key), str | int):
                options += [f"--{key.replace('_', '-')}", str(value)]
        for name in self.extra_classes:
            options += ["--extra-class", name]
        out = self.file or "FILE.safetensors"
        return build_command(self.vocabulary, self.model_name, self.checkpoint, options, out)

    @property
    def needs_files(self) -> bool:
        """Whether to know the names of the classes takes a file of the user's."""
        return self.file is not None or (
            isinstance(self.vocabulary, str | Path) and Path(self.vocabulary).suffix in (".json", ".txt")
        )

    @cached_property
    def classes(self) -> Vocabulary | ClassEmbeddings:
        """Names and thing flags of the classes, which costs no encoding: the embeddings of a file, or the vocabulary.

        Raises:
            FileNotFoundError: If a file is not there; for a file of embeddings with the command that makes it.
            ValueError: If it is wrong or damaged.
        """
        if self.file is not None:
            return self._read_file(Path(self.file))
        return self._load_vocabulary(self.num_things)

    def embed_dim(self) -> int:
        """The embeddings' dimension, which costs no encoding.

        Raises:
            FileNotFoundError: If the file, or a checkpoint that alone says what model it is, does not exist.
            ValueError: If that is unknown.
        """
        if isinstance(self.classes, ClassEmbeddings):
            return self.classes.embed_dim
        if self.model_name is not None:
            return resolve_architecture(self.model_name).cfg["embed_dim"]
        return resolve_model(None, self.checkpoint).architecture.cfg["embed_dim"]

    def resolve(self) -> ClassEmbeddings:
        """The embeddings. Of several processes, which all have to ask, the main one reads or encodes them.

        Raises:
            FileNotFoundError: If a file is not there; for a file of embeddings with the command that makes it.
            ValueError: If a file holds something else than it must, or model, checkpoint and vocabulary do not fit.
        """
        return on_main_process(self._from_file if self.file is not None else self._from_cache)

    def _from_file(self) -> ClassEmbeddings:
        assert isinstance(self.classes, ClassEmbeddings)
        return self.classes

    def _read_file(self, path: Path) -> ClassEmbeddings:
        embeddings = ClassEmbeddings.load(path, f"{self.command} makes it")
        embeddings.check_encoder(model_name=self.model_name)
        expected = {key: value for key in _PROMPT_OPTIONS if (value := getattr(self, key)) is not None}
        if self.templates is not None:
            expected["templates"] = get_template_set(self.templates).name
        if self.vocabulary is not None:
            expected["classes"] = self._load_vocabulary(None).classes
        for key, value in expected.items():
            if getattr(embeddings, key) != value:
                raise ValueError(
                    f"class embeddings {str(path)!r} were built with other {key} ({_short(getattr(embeddings, key))}) "
                    f"than the config says ({_short(value)}); {self.command} builds them anew, or change the config"
                )
        return embeddings if self.num_things is None else embeddings.with_num_things(self.num_things)

    def _from_cache(self) -> ClassEmbeddings:
        vocabulary = self._load_vocabulary(self.num_things)
        asked = {key: getattr(self, key) or default for key, default in _PROMPT_OPTIONS.items()}
        prompts = class_prompts(vocabulary, asked["templates"], asked["synonyms"])
        assert isinstance(self.cache_dir, Path)
        tower = self.tower or self._new_tower()
        if tower.is_random:  # nobody will meet those weights again
            return self._encode(vocabulary, tower, asked)
        kept = KeptEmbeddings(self.cache_dir)
        key = kept.key(tower.key(), prompts, asked["normalization"])
        found = kept.load(key, len(vocabulary))
        if found is None:
            # What was remembered of the checkpoint, by its size and time of modification, may be damaged: now its
            # weights decide.
            loaded = kept.key(tower.key_of_loaded(), prompts, asked["normalization"])
            found = kept.load(loaded, len(vocabulary)) if loaded != key else None
            if found is None:
                found = self._encode(vocabulary, tower, asked)
                kept.save(loaded, found)
        # The key is made of prompts and weights: what they are called is this config's own.
        return replace(
            found,
            name=vocabulary.name,
            classes=vocabulary.classes,
            is_thing=vocabulary.is_thing,
            model=tower.model_id,
            templates=get_template_set(asked["templates"]).name,
            synonyms=asked["synonyms"],
        )

    def for_vocabulary(self, vocabulary: VocabularySource) -> "ClassEmbeddingsRequest":
        """The same prompts of other classes, and a text tower that stays in memory once it has been loaded.

        Args:
            vocabulary: As `Vocabulary.load` takes it; ``extra_classes`` are appended to it too.

        Raises:
            ValueError: If it is not known which text tower encodes: there is only a file of embeddings.
        """
        if self.checkpoint is None:
            raise ValueError(
                f"class embeddings {str(self.file)!r} are a file, of which no others can be made; to predict other "
                "classes give dict(vocabulary=..., model_name=..., checkpoint=...), with which embeddings can be built."
            )
        tower = self.tower or self._new_tower()
        return replace(self, file=None, vocabulary=vocabulary, num_things=None, tower=tower)

    def _new_tower(self) -> TextTower:
        assert isinstance(self.cache_dir, Path)
        return TextTower(self.model_name, self.checkpoint, self.cache_dir, self.trust)

    def _encode(self, vocabulary: Vocabulary, tower: TextTower, asked: dict[str, Any]) -> ClassEmbeddings:
        print_log(f"encoding {len(vocabulary)} classes of {vocabulary.name!r} with {tower.model_id}", logger="current")
        return build_class_embeddings(vocabulary, tower.name, clip_model=tower.model, device=get_device(), **asked)

    def _load_vocabulary(self, num_things: int | None) -> Vocabulary:
        assert self.vocabulary is not None
        vocabulary = Vocabulary.load(self.vocabulary)
        if num_things is not None:
            vocabulary = vocabulary.with_num_things(num_things)
        return vocabulary.with_extra_classes(self.extra_classes)

    def _given(self) -> dict[str, Any]:
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name))}


def resolve_class_embeddings(
    cfg: Mapping[str, Any] | str | Path | ClassEmbeddings,
    *,
    model_name: ModelName | None = None,
    checkpoint: str | Path | None = None,
    cache_dir: str | Path | None = None,
    trust: bool = False,
) -> ClassEmbeddings:
    """Class embeddings from what a config says; see `LazyClassEmbeddings` for a model's own.

    Args:
        cfg: What `ClassEmbeddingsRequest.from_config` takes, or ready embeddings, which are returned as they are.
        model_name: The image encoder's name, where the config says no other.
        checkpoint: Its weights (with a text tower), likewise.
        cache_dir: Folder of embeddings that are kept, likewise; None = see `cache_folder`.
        trust: Allow pickled checkpoints of any content, see ``build_clip``.

    Raises:
        FileNotFoundError: If a file is not there; for a file of embeddings with the command that makes it.
        ValueError: If an option is unknown or missing, or a file holds something else than described.
    """
    if isinstance(cfg, ClassEmbeddings):
        return cfg
    request = ClassEmbeddingsRequest.from_config(
        cfg, model_name=model_name, checkpoint=checkpoint, cache_dir=cache_dir, trust=trust
    )
    return request.resolve()


def complete_test_options(test: Any, training: Any) -> Any:
    """Options of a test vocabulary, completed by those of the training vocabulary.

    Args:
        test: A config's ``test_class_embeddings``; None stands for ``training``.
        training: Its ``class_embeddings``.

    Returns:
        ``test`` and, if both are dicts, what it leaves out: prompts, normalization, text tower, cache. Which classes
        they are is not taken over.
    """
    if test is None:
        return training
    if not (isinstance(test, Mapping) and isinstance(training, Mapping)):
        return test
    own = ("file", "vocabulary", "num_things", "extra_classes")
    return {**{key: value for key, value in training.items() if key not in own}, **test}


def embeddings_command(options: Mapping[str, Any]) -> str:
    """The command that makes the file of a config ``dict(file=..., vocabulary=..., model_name=..., ...)``."""
    return ClassEmbeddingsRequest.from_config(options).command


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
