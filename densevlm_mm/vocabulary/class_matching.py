"""Finding named categories of one list among the classes of another, however they are spelled."""

import difflib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from densevlm_mm.vocabulary.names import check_distinct, normal_form, split_synonyms, without_brackets


class ClassFinder:
    """Looks names up among the classes of a list; names are compared in their normal form.

    Args:
        classes: K display names.
        synonyms: The names of each class, the usual one first; default: the display names parted at their commas.

    Example:
        >>> ClassFinder(["alarm_clock", "building, edifice"]).find("Alarm Clock")
        [0]
    """

    def __init__(self, classes: Sequence[str], synonyms: Sequence[Sequence[str]] | None = None) -> None:
        self.classes = tuple(classes)
        self._whole, self._first, self._any, self._bare = (defaultdict[str, list[int]](list) for _ in range(4))
        for index, name in enumerate(self.classes):
            names = synonyms_of(name) if synonyms is None else tuple(synonyms[index])
            self._whole[normal_form(name)].append(index)
            self._first[normal_form(names[0])].append(index)
            for form in {normal_form(synonym) for synonym in names}:
                self._any[form].append(index)
                self._bare[without_brackets(form)].append(index)

    def same(self, name: str) -> list[int]:
        """Indices of the classes of this whole name."""
        return list(self._whole.get(normal_form(name), ()))

    def find(self, name: str) -> list[int]:
        """Indices of the classes that have this whole name; else this first synonym; else any such synonym."""
        form = normal_form(name)
        return list(self._whole.get(form) or self._first.get(form) or self._any.get(form) or ())

    def find_bare(self, name: str) -> list[int]:
        """Those of `find`; else of the classes that add only something in brackets: ``crab``, ``crab_(animal)``."""
        return self.find(name) or list(self._bare.get(normal_form(name), ()))

    def close(self, name: str) -> list[str]:
        """Up to three classes with a synonym that is spelled nearly so."""
        forms = difflib.get_close_matches(normal_form(name), self._any, n=3)
        return list(dict.fromkeys(self.classes[self._any[form][0]] for form in forms))

    def find_any(self, name: str) -> list[int]:
        """What `find` gives for the whole name, or else for the first of its synonyms that gives anything."""
        return next(filter(None, map(self.find, dict.fromkeys((name, *synonyms_of(name))))), [])


def synonyms_of(name: str) -> tuple[str, ...]:
    """The synonyms of a name that may be any text: one with a bracket that is not closed is taken as a whole."""
    try:
        return split_synonyms(name)
    except ValueError:
        return (name,)


def match_classes(
    names: Sequence[str],
    is_thing: Sequence[bool] | None,
    classes: Sequence[str],
    class_is_thing: Sequence[bool] | np.ndarray | None,
) -> list[int]:
    """Find every name among the classes: by the whole name, else by its first, else by any of its synonyms.

    Synonyms are separated by commas, the usual one first (``'dog, domestic dog'`` goes before ``'andiron, dog'``).
    Names are compared in their normal form, see :func:`~densevlm_mm.vocabulary.names.normal_form`.

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
    finder = ClassFinder(classes)
    found = []
    for position, name in enumerate(names):
        candidates = finder.find(name)
        if not candidates:
            close = finder.close(name)
            hint = f"; close to it: {', '.join(map(repr, close))}" if close else ""
            raise ValueError(f"{name!r} is not among the {len(classes)} classes{hint}")
        if len(candidates) > 1 and is_thing is not None and class_is_thing is not None:
            candidates = [index for index in candidates if bool(class_is_thing[index]) == bool(is_thing[position])]
        if len(candidates) != 1:
            fitting = [classes[index] for index in candidates]
            raise ValueError(f"{name!r} fits {len(candidates)} classes {fitting}: say by isthing which one is meant")
        found.append(candidates[0])
    return found


def category_rows(names: Sequence[str], classes: Sequence[str], source: str) -> list[int]:
    """Which category of an annotation file each class is, by its whole name in whatever spelling.

    Args:
        names: Names of the file's categories.
        classes: C names of classes; the file may have other categories too.
        source: The file, for the error.

    Returns:
        C positions in ``names``.

    Raises:
        ValueError: If the file has no category, or several, of a name, or two classes are one name.
    """
    check_distinct(classes, f"classes asked of {source}")
    finder = ClassFinder(names)
    found = [finder.same(name) for name in classes]
    wrong = [name for name, rows in zip(classes, found, strict=True) if len(rows) != 1]
    if wrong:
        twice = next(([names[row] for row in rows] for rows in found if len(rows) > 1), None)
        reason = f"{twice} are one name; the" if twice else "the"
        raise ValueError(
            f"{source}: {len(wrong)} of {len(classes)} classes are not the name of exactly one category: {wrong[:5]}; "
            f"{reason} file has {len(names)} categories, such as {list(names[:5])}. Is it the right file?"
        )
    return [row for (row,) in found]


def renumbering(
    names: Sequence[str], classes: Sequence[str], synonyms: Sequence[Sequence[str]] | None = None
) -> list[int] | None:
    """Which class each name is, for two lists of the same classes that may have different orders.

    Names at one position that have nothing in common are taken for one class (data sets and vocabularies call ADE20K's
    classes differently), unless one of them is found at another position.

    Args:
        names: K names, for instance those of a model's predictions.
        classes: K names, for instance those of the data set.
        synonyms: The names of each class; default: the display names parted at their commas.

    Returns:
        For each name an index, 0 to K - 1, each once; None if they are 0, 1, ..., K - 1.

    Raises:
        ValueError: If the numbers differ, or the orders differ and the names cannot be told apart.
    """
    if tuple(names) == tuple(classes):
        return None
    if len(names) != len(classes):
        raise ValueError(f"{len(names)} names for {len(classes)} classes")
    finder = ClassFinder(classes, synonyms)
    found = [finder.find_any(name) for name in names]
    moved = [position for position, candidates in enumerate(found) if candidates and position not in candidates]
    if not moved:
        return None
    if any(len(candidates) != 1 for candidates in found) or len({index for (index,) in found}) < len(found):
        lost = [name for name, candidates in zip(names, found, strict=True) if len(candidates) != 1]
        raise ValueError(
            f"{names[moved[0]]!r} is number {moved[0]} of one list and {found[moved[0]][0]} of the other, and they "
            f"cannot be matched by name: look at {lost[:5] or 'names of one class'}"
        )
    return [index for (index,) in found]
