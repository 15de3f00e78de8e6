"""The words that a visitor of the page types: `Words`."""

import re
from dataclasses import dataclass

import numpy as np

from densevlm_mm.vocabulary.names import check_name, normal_form

MAX_WORDS = 60
MAX_LETTERS = 80


@dataclass(frozen=True)
class Words:
    """Names of things and stuff to look for.

    Args:
        things: What has a shape and can be counted.
        stuff: What fills an area.
    """

    things: tuple[str, ...]
    stuff: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """All K names, things first."""
        return [*self.things, *self.stuff]

    @property
    def is_thing(self) -> np.ndarray:
        """Thing flags (K,) bool."""
        return np.arange(len(self.names)) < len(self.things)


def read_words(things: str, stuff: str) -> Words:
    """Read names that are separated by commas, semicolons or line breaks.

    Args:
        things: What stands in the field of things; may be empty.
        stuff: Likewise of stuff.

    Raises:
        ValueError: If there are fewer than two names, or too many; if one is too long, invisible, or there twice.
    """
    words = Words(_split(things), _split(stuff))
    if len(words.names) < 2:
        raise ValueError("Type at least two words, such as: boat, sea. The nearest is chosen among them.")
    if len(words.names) > MAX_WORDS:
        raise ValueError(f"These are {len(words.names)} words, the page shows at most {MAX_WORDS}: take some out.")
    seen: dict[str, str] = {}
    for name in words.names:
        if len(name) > MAX_LETTERS:
            raise ValueError(f"“{name[:30]}…” has {len(name)} letters, a word or phrase has at most {MAX_LETTERS}.")
        check_name(name, "the word")
        other = seen.setdefault(normal_form(name), name)
        if other is not name:
            raise ValueError(f"“{name}” is there twice: take one out, or it would share its score with itself.")
    return words


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in re.split(r"[,;\n]", text or "") if name.strip())
