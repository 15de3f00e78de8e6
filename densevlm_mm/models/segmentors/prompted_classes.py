"""The classes of a segmentor as its config names them: a vocabulary and how prompts are made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densevlm_mm.models.text import class_prompts
from densevlm_mm.models.text.clip_text_encoder import Prompts, as_prompts
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.names import split_synonyms

_OPTIONS = ("vocabulary", "templates", "synonyms")


@dataclass(frozen=True)
class PromptedClasses:
    """Class names and their prompts.

    Args:
        names: display names, in the order of the labels.
        prompts: the prompts of each class.
    """

    names: tuple[str, ...]
    prompts: Prompts

    @classmethod
    def from_config(cls, cfg: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> "PromptedClasses":
        """Read ``dict(vocabulary=..., templates=..., synonyms=...)``.

        Args:
            cfg: the vocabulary is a packaged name, a path ending in .json or .txt, or a list of names; templates and
                synonyms are those of :func:`class_prompts`.
            defaults: what ``cfg`` does not say.

        Raises:
            FileNotFoundError: if the vocabulary file does not exist.
            ValueError: if an option is unknown or the vocabulary is missing.
        """
        if unknown := sorted(set(cfg) - set(_OPTIONS)):
            raise ValueError(f"unknown class-embedding option(s) {unknown}; known: {list(_OPTIONS)}")
        options = {**(defaults or {}), **cfg}
        if options.get("vocabulary") is None:
            raise ValueError("class embeddings need a vocabulary, for example dict(vocabulary='coco_stuff_171')")
        source = options.pop("vocabulary")
        vocabulary = _named_vocabulary(source) if isinstance(source, list | tuple) else Vocabulary.load(source)
        return cls(vocabulary.classes, as_prompts(class_prompts(vocabulary, **options)))


def _named_vocabulary(names: Sequence[str]) -> Vocabulary:
    return Vocabulary("the config's list", tuple(names), tuple(split_synonyms(name) for name in names))
