"""Finding named categories of one list among the classes of another."""

import difflib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from densevlm_mm.vocabulary.vocabulary import split_synonyms


def match_classes(
    names: Sequence[str],
    is_thing: Sequence[bool] | None,
    classes: Sequence[str],
    class_is_thing: Sequence[bool] | np.ndarray | None,
) -> list[int]:
    """Find every name among the classes: by the whole name, else by its first, else by any of its synonyms.

    Synonyms are separated by commas, the usual one first (``'dog, domestic dog'`` goes before ``'andiron, dog'``).
    Case and outer blanks do not count.

    Args:
        names: Names to look up.
        is_thing: Their thing flags; ``None`` if unknown. Needed only where a class name is both thing and stuff.
        classes: K display names.
        class_is_thing: Their thing flags; ``None`` if unknown.

    Returns:
        For each name an index, 0 to K - 1.

    Raises:
        ValueError: If a name is unknown (says which classes are close), or fits several classes.
    """
    whole, first, synonyms = defaultdict(list), defaultdict(list), defaultdict(list)
    for index, name in enumerate(classes):
        whole[_key(name)].append(index)
        first[_key(split_synonyms(name)[0])].append(index)
        for synonym in split_synonyms(name):
            synonyms[_key(synonym)].append(index)
    found = []
    for position, name in enumerate(names):
        key = _key(name)
        candidates = whole.get(key) or first.get(key) or synonyms.get(key)
        if not candidates:
            close = [classes[synonyms[close_key][0]] for close_key in difflib.get_close_matches(key, synonyms, n=3)]
            hint = f"; close to it: {', '.join(map(repr, close))}" if close else ""
            raise ValueError(f"{name!r} is not among the {len(classes)} classes{hint}")
        if len(candidates) > 1 and is_thing is not None and class_is_thing is not None:
            candidates = [index for index in candidates if bool(class_is_thing[index]) == bool(is_thing[position])]
        if len(candidates) != 1:
            fitting = [classes[index] for index in candidates]
            raise ValueError(f"{name!r} fits {len(candidates)} classes {fitting}: say by isthing which one is meant")
        found.append(candidates[0])
    return found


def _key(name: str) -> str:
    return name.strip().lower()
