"""The classes of a segmentor: names and the prompts that are made of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from densevlm_mm.models.text import class_prompts
from densevlm_mm.models.text.clip_text_encoder import Prompts, as_prompts
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.vocabulary import VocabularySource


@dataclass(frozen=True)
class PromptedClasses:
    """Class names and their prompts.

    Args:
        names: Display names, in the order of the labels.
        prompts: The prompts of each class.
    """

    names: tuple[str, ...]
    prompts: Prompts

    @classmethod
    def from_vocabulary(
        cls, vocabulary: VocabularySource, templates: str | Sequence[str], synonyms: str
    ) -> "PromptedClasses":
        """Prompt the classes of a vocabulary.

        Args:
            vocabulary: As :meth:`Vocabulary.load` takes it.
            templates: See :func:`class_prompts`.
            synonyms: See :func:`class_prompts`.

        Raises:
            FileNotFoundError: If the vocabulary file does not exist.
            ValueError: If the vocabulary, the templates or the synonym rule are unknown or wrong.
        """
        loaded = Vocabulary.load(vocabulary)
        return cls(loaded.classes, as_prompts(class_prompts(loaded, templates, synonyms)))
