"""One form for every word: lower case, no article, singular where the data know the singular."""

import re
from collections.abc import Collection, Iterator, Mapping

_ARTICLES = re.compile(r"^(a|an|the|some)\s+")
_IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "leaves": "leaf",
    "men": "man",
    "mice": "mouse",
    "people": "person",
    "teeth": "tooth",
    "women": "woman",
}


def normalize_word(word: str) -> str:
    """Bring a word or phrase to one spelling.

    Lower case; ``_`` becomes a blank; blanks are joined; quotes and punctuation around it, and a leading article, go.
    ``''`` if nothing is left.
    """
    word = re.sub(r"[\s_]+", " ", word.lower()).strip(" .,;:!?\"'()[]")
    return _ARTICLES.sub("", word)


def singular_candidates(word: str) -> Iterator[str]:
    """Words that ``word`` may be a plural of, by the endings of its last part; the likeliest first.

    ``shelves``: shelf, shelfe, shelve; ``boxes``: box, boxe. Which of them is a word is for the caller to say.
    """
    head, blank, last = word.rpartition(" ")
    before = head + blank
    irregular = next((plural for plural in _IRREGULAR if last.endswith(plural)), None)
    if irregular is not None:
        yield before + last.removesuffix(irregular) + _IRREGULAR[irregular]
    if len(last) < 4 or not last.endswith("s") or last.endswith("ss"):
        return
    if last.endswith("ies"):
        yield before + last[:-3] + "y"
    if last.endswith("ves"):
        yield before + last[:-3] + "f"
        yield before + last[:-3] + "fe"
    if last.endswith("es"):
        yield before + last[:-2]
    yield before + last[:-1]


def merge_plurals(words: Collection[str]) -> Mapping[str, str]:
    """Say which words are plurals of others.

    A word is taken for a plural only if its singular occurs too: ``curtains`` joins ``curtain``, while ``lens``,
    ``scissors`` and a set that only ever has ``curtains`` stay as they are. No form is made up.

    Args:
        words: Normalised words.

    Returns:
        Plural to singular, for those that are one.
    """
    known = set(words)
    found = {}
    for word in words:
        singular = next(
            (candidate for candidate in singular_candidates(word) if candidate in known and candidate != word), None
        )
        if singular is not None:
            found[word] = singular
    return found
