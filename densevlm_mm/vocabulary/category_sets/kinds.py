"""Telling things from stuff."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol, get_args

from densevlm_mm.vocabulary.category_sets.word_counts import load_word_map
from densevlm_mm.vocabulary.category_sets.word_forms import normalize_word

Kind = Literal["thing", "stuff", "neither"]
KINDS: tuple[str, ...] = get_args(Kind)


class KindClassifier(Protocol):
    """Something that knows of words whether they are things (countable objects), stuff (background) or neither."""

    source: str

    def classify(self, words: Sequence[str]) -> Mapping[str, Kind]:
        """Return the kinds of those words that it knows."""


class MappedKinds:
    """Kinds from a JSON object of the user's: ``{"dog": "thing", "sky": "stuff", "happy": "neither"}``.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else; names the word.
    """

    def __init__(self, path: str | Path) -> None:
        self.source = str(path)
        self.kinds: dict[str, Kind] = {}
        for word, kind in load_word_map(path).items():
            if kind not in KINDS:
                raise ValueError(f"{path}: the kind of {word!r} is {kind!r}, not one of {', '.join(KINDS)}")
            self.kinds[normalize_word(word)] = kind  # type: ignore[assignment]

    def classify(self, words: Sequence[str]) -> dict[str, Kind]:
        """Return the kinds of those words that the file has."""
        return {word: self.kinds[word] for word in words if word in self.kinds}


def split_kinds(words: Sequence[str], classifiers: Sequence[KindClassifier]) -> dict[str, tuple[Kind, str]]:
    """Ask classifiers in turn; the first one that knows a word decides.

    Args:
        words: Normalised words.
        classifiers: In the order of their authority.

    Returns:
        Word to its kind and who said so; words that nobody knows are missing.
    """
    found: dict[str, tuple[Kind, str]] = {}
    for classifier in classifiers:
        open_words = [word for word in words if word not in found]
        if open_words:
            found |= {word: (kind, classifier.source) for word, kind in classifier.classify(open_words).items()}
    return found
