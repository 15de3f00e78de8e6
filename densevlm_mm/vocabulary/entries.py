"""What a vocabulary file or list says of its classes, checked entry by entry."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from densevlm_mm.vocabulary.names import split_synonyms

_KEYS = ("name", "isthing", "synonyms")
_PAGE = re.compile(r"<(!doctype|html|head|body|\?xml)\b", re.IGNORECASE)
_NUMBERED = re.compile(r"(\d+)\s*[:.)\s]\s*\S")


class Entries(NamedTuple):
    """The classes of a vocabulary.

    Args:
        classes: K display names, as they are written.
        synonyms: For each class the names that prompts are made of.
        is_thing: Thing flags (K,) bool, or None if unknown.
    """

    classes: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    is_thing: np.ndarray | None


def parse_entries(where: str, entries: Any) -> Entries:
    """Read classes that are names, or objects with ``name`` and perhaps ``isthing`` and ``synonyms``.

    Args:
        where: Whose classes they are, for the errors.
        entries: The list.

    Raises:
        ValueError: If it is no list, an entry is something else or has a mistyped key, or some have thing flags and
            some have not; names the entry.
    """
    if not isinstance(entries, list | tuple):
        raise ValueError(f"{where}: the classes are {type(entries).__name__}, not a list of names or objects")
    classes, synonyms, flags = [], [], []
    for index, raw in enumerate(entries):
        entry: Any = {"name": raw} if isinstance(raw, str) else raw
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise ValueError(f"{where}: class {index} has no name: {entry!r:.120}; a name is text in quotes")
        _check_keys(where, index, entry)
        if entry.get("isthing") not in (0, 1, None):
            raise ValueError(f"{where}: isthing of {entry['name']!r} is {entry['isthing']!r}, not 0 or 1")
        classes.append(entry["name"])
        synonyms.append(_synonyms(where, entry))
        flags.append(None if entry.get("isthing") is None else bool(entry["isthing"]))
    known = [flag is not None for flag in flags]
    if any(known) and not all(known):
        raise ValueError(
            f"{where}: {classes[known.index(False)]!r} has no isthing flag although others have; give it to every "
            "class or to none"
        )
    return Entries(tuple(classes), tuple(synonyms), np.array(flags, dtype=bool) if any(known) else None)


def check_list_of_names(where: str, names: Sequence[str], fix: str) -> None:
    """Refuse what somebody gave as names one by one if it looks like something else.

    Args:
        where: Where they come from, for the error.
        names: The names.
        fix: How to give them one by one.

    Raises:
        ValueError: If there is none, or it is one text of many names, a table, a numbered list or JSON.
    """
    if not names:
        raise ValueError(f"{where} holds no classes: {fix}")
    if problem := _not_a_list_of_names(names):
        raise ValueError(
            f"{where}: {problem}; {fix}, or give synonyms and thing flags in a .json: "
            '{"classes": [{"name": "boat", "synonyms": ["boat", "ship"], "isthing": 1}, ...]}'
        )


def _not_a_list_of_names(names: Sequence[str]) -> str | None:
    if names[0][0] in "{[" and names[-1][-1] in "}]":
        return "it looks like JSON: call it .json"
    if _PAGE.match(names[0]):
        return "it looks like a web page, not the file that it is about"
    with_tab = next((name for name in names if "\t" in name), None)
    if with_tab is not None:
        return f"it looks like a table, {with_tab!r:.60} holds a tab"
    if len(names) == 1:
        for separator in (",", ";", "|"):
            parts = split_synonyms(names[0]) if separator == "," else names[0].split(separator)
            if len(parts) > 1:
                return f"{names[0]!r:.60} is {len(parts)} names, either as many classes or synonyms of one"
        return None
    columns = [name.split(",") for name in names]
    if len(columns[0]) > 1 and len({len(row) for row in columns}) == 1:
        for number, column in enumerate(zip(*columns[1:], strict=True), start=1):  # the first row may be a heading
            if all(value.strip().isdecimal() for value in column):
                return f"it looks like a table, column {number} holds numbers"
    numbers = [_NUMBERED.match(name) for name in names]
    if len({int(match[1]) - row for row, match in enumerate(numbers) if match}) == 1 and all(numbers):
        return f"they are numbered, such as {names[0]!r:.60}"
    return None


def _check_keys(where: str, index: int, entry: dict) -> None:
    # Other keys are notes of the file's maker, but a mistyped one would be passed over in silence.
    for key in entry.keys() - set(_KEYS):
        close = difflib.get_close_matches(str(key).lower().replace("_", ""), _KEYS, n=1, cutoff=0.8)
        if close:
            raise ValueError(f"{where}: class {index} ({entry['name']!r}) has {key!r}: is {close[0]!r} meant?")


def _synonyms(where: str, entry: dict) -> tuple[str, ...]:
    given = entry.get("synonyms")
    if given is None or given == []:
        return split_synonyms(entry["name"])
    if not isinstance(given, list | tuple) or not all(isinstance(synonym, str) for synonym in given):
        raise ValueError(f"{where}: synonyms of {entry['name']!r} are {given!r:.120}, not a list of names")
    return tuple(dict.fromkeys(synonym.strip() for synonym in given))
