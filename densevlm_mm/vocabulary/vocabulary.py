"""Category vocabularies: display names, synonyms for prompting, thing flags. The data are JSON files.

Packaged ones live in ``densevlm_mm/vocabulary/data``. A file either stores its classes, or says where an
installed package keeps them (``derive``), or names another vocabulary with the same content (``same_as``).
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, Union

import numpy as np

from densevlm_mm.vocabulary.source_literals import read_source_literal

SYNONYM_RULES = ("all", "first", "joined")
# What `Vocabulary.load` takes: a packaged name, a path, a list of names or of JSON entries, the thing itself.
VocabularySource: TypeAlias = Union[str, Path, "Vocabulary", Sequence[str | dict[str, Any]]]


def vocabulary_dir() -> Path:
    """The folder of the packaged vocabularies."""
    return Path(__file__).parent / "data"


def packaged_vocabularies() -> list[str]:
    """Names that `Vocabulary.load` knows."""
    return sorted(path.stem for path in vocabulary_dir().glob("*.json"))


def things_first_mask(num_classes: int, num_things: int, current: np.ndarray | None, name: str) -> np.ndarray:
    """Thing flags (K,) bool that mark the first ``num_things`` classes.

    Raises:
        ValueError: If ``num_things`` is out of range or the present flags are not in things-first order (then a
            threshold would call arbitrary classes things).
    """
    if not 0 <= num_things <= num_classes:
        raise ValueError(f"num_things={num_things} does not fit vocabulary {name!r} with {num_classes} classes")
    if current is not None and not bool(np.all(current[: int(current.sum())])):
        raise ValueError(
            f"num_things={num_things} needs a vocabulary whose things come first; {name!r} mixes things and stuff. "
            "Change its isthing flags in a JSON of your own instead"
        )
    return np.arange(num_classes) < num_things


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """An ordered list of categories.

    Args:
        name: What the list is called.
        classes: K display names, exactly as the source writes them (``'building, edifice'``, ``'window '``).
        synonyms: For each class the names that prompts are made of, at least one, stripped of outer blanks.
        is_thing: Thing flags (K,) bool (False = stuff), or None if unknown.

    Raises:
        ValueError: If it is empty, lengths differ, a name is empty, or a name occurs twice with the same thing flag.
            (The same name once as thing and once as stuff is a fact of set_316 and allowed.)

    Example:
        >>> vocabulary = Vocabulary.load("set_316")
        >>> len(vocabulary), vocabulary.num_things
        (316, 204)
    """

    name: str
    classes: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]
    is_thing: np.ndarray | None = None

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError(f"vocabulary {self.name!r} holds no classes")
        if len(self.synonyms) != len(self.classes):
            raise ValueError(
                f"vocabulary {self.name!r}: {len(self.synonyms)} synonym entries for {len(self.classes)} classes"
            )
        for index, (cls, names) in enumerate(zip(self.classes, self.synonyms, strict=True)):
            if not cls.strip() or not names or not all(synonym.strip() for synonym in names):
                raise ValueError(
                    f"vocabulary {self.name!r}: class {index} ({cls!r}) has an empty name or synonym: {names}"
                )
        flags: Sequence[bool | None] = [None] * len(self.classes)
        if self.is_thing is not None:
            is_thing = np.array(self.is_thing, dtype=bool)  # a copy: made read-only below
            if is_thing.shape != (len(self.classes),):
                raise ValueError(
                    f"vocabulary {self.name!r}: is_thing has shape {is_thing.shape}, expected ({len(self.classes)},)"
                )
            is_thing.setflags(write=False)
            object.__setattr__(self, "is_thing", is_thing)
            flags = is_thing.tolist()
        first_seen: dict[tuple[str, bool | None], int] = {}
        for index, (cls, flag) in enumerate(zip(self.classes, flags, strict=True)):
            previous = first_seen.setdefault((cls.strip().lower(), flag), index)
            if previous != index:
                kind = {None: "", True: " (things)", False: " (stuff)"}[flag]
                raise ValueError(
                    f"vocabulary {self.name!r}: {cls!r} occurs twice{kind}, as class {previous} and {index}; "
                    "remove or rename one"
                )

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def thing_mask(self) -> np.ndarray:
        """Thing flags (K,) bool.

        Raises:
            ValueError: If the vocabulary has none.
        """
        if self.is_thing is None:
            raise ValueError(
                f"vocabulary {self.name!r} has no thing flags, which tell things from stuff; use one that has, or a "
                'JSON of your own with "isthing": 0 or 1 for every class'
            )
        return self.is_thing

    @property
    def num_things(self) -> int:
        """How many classes are things."""
        return int(self.thing_mask.sum())

    def prompt_names(self, synonyms: str = "all") -> tuple[tuple[str, ...], ...]:
        """The names of each class that go into the prompt templates.

        Args:
            synonyms: ``'all'`` every synonym, their prompts averaged together; ``'first'`` the first synonym (CAT-Seg);
                ``'joined'`` the display name as a whole, commas and all (SAN).

        Raises:
            ValueError: If the rule is unknown.
        """
        if synonyms == "all":
            return self.synonyms
        if synonyms == "first":
            return tuple(names[:1] for names in self.synonyms)
        if synonyms == "joined":
            return tuple((cls.strip(),) for cls in self.classes)
        raise ValueError(f"unknown synonyms rule {synonyms!r}; choose from {SYNONYM_RULES}")

    def with_num_things(self, num_things: int) -> "Vocabulary":
        """The same classes with exactly the first ``num_things`` taken for things.

        The published training used 203 of the 204 things of set_316; ``with_num_things(203)`` says that.
        """
        return replace(self, is_thing=things_first_mask(len(self), num_things, self.is_thing, self.name))

    def with_extra_classes(self, names: Iterable[str]) -> "Vocabulary":
        """Appends classes such as ``'background'``; where there are thing flags, they are stuff."""
        names = tuple(names)
        is_thing = None if self.is_thing is None else np.append(self.is_thing, np.zeros(len(names), dtype=bool))
        return replace(
            self,
            classes=self.classes + names,
            synonyms=self.synonyms + tuple(split_synonyms(name) for name in names),
            is_thing=is_thing,
        )

    @classmethod
    def load(cls, source: VocabularySource) -> "Vocabulary":
        """Loads a vocabulary from wherever a config or a user has it.

        Args:
            source: Name of a packaged vocabulary; path of a ``.json`` or ``.txt`` (one name a line) file; a list or
                tuple of names, or of entries as the ``classes`` of a JSON file; or a vocabulary, returned as it is.

        Raises:
            FileNotFoundError: If a path is given that does not exist.
            ValueError: If the name is not a packaged one, or the content of the file or list is wrong.
        """
        if isinstance(source, Vocabulary):
            return source
        if isinstance(source, list | tuple):
            return cls._from_entries(_preview(source), source)
        if not isinstance(source, str | Path):
            raise ValueError(
                f"a vocabulary is a packaged name, a path ending in .json or .txt or a list of names, not {source!r}"
            )
        path = Path(source)
        if path.suffix not in (".json", ".txt"):
            return _load_packaged(str(source))
        if not path.is_file():
            raise FileNotFoundError(
                f"vocabulary file {str(path)!r} does not exist; packaged: {packaged_vocabularies()}"
            )
        if path.suffix == ".txt":
            names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
            return cls._from_entries(path.stem, [{"name": name} for name in names if name])
        return cls._from_file(path)

    @classmethod
    def _from_file(cls, path: Path) -> "Vocabulary":
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise ValueError(f"vocabulary file {str(path)!r} is not JSON: {error}") from error
        if not isinstance(data, dict) or not {"classes", "derive", "same_as"} & data.keys():
            raise ValueError(
                f'vocabulary file {str(path)!r}: expected {{"name": ..., "classes": [{{"name": ..., "isthing": 0}}]}}'
            )
        name = data.get("name", path.stem)
        if "same_as" in data:
            return replace(cls.load(data["same_as"]), name=name)
        if "derive" in data:
            return cls._derive(name, data)
        return cls._from_entries(name, data["classes"])

    @classmethod
    def _from_entries(cls, name: str, entries: Sequence[dict[str, Any] | str]) -> "Vocabulary":
        classes: list[str] = []
        synonyms: list[tuple[str, ...]] = []
        flags: list[bool | None] = []
        for index, raw in enumerate(entries):
            entry: dict[str, Any] = {"name": raw} if isinstance(raw, str) else raw
            if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
                raise ValueError(f"vocabulary {name!r}: class {index} has no name: {entry!r}; a name is text in quotes")
            if entry.get("isthing") not in (0, 1, None):
                raise ValueError(
                    f"vocabulary {name!r}: isthing of {entry['name']!r} is {entry['isthing']!r}, not 0 or 1"
                )
            given = entry.get("synonyms")
            classes.append(entry["name"])
            synonyms.append(_distinct(s.strip() for s in given) if given else split_synonyms(entry["name"]))
            flags.append(None if entry.get("isthing") is None else bool(entry["isthing"]))
        known = [flag is not None for flag in flags]
        if any(known) and not all(known):
            raise ValueError(
                f"vocabulary {name!r}: {classes[known.index(False)]!r} has no isthing flag although others have; "
                "give it to every class or to none"
            )
        return cls(name, tuple(classes), tuple(synonyms), np.array(flags, dtype=bool) if any(known) else None)

    @classmethod
    def _derive(cls, name: str, data: dict[str, Any]) -> "Vocabulary":
        source = data["derive"]
        classes = tuple(read_source_literal(source["package"], source["file"], source["variable"], source["key"]))
        # Labels are indices into this list: a changed upstream list must not pass unnoticed.
        if len(classes) != source["num_classes"] or names_sha256(classes) != source["names_sha256"]:
            raise ValueError(
                f"{source['variable']} of the installed {source['package']} is not the class list that vocabulary "
                f"{name!r} stands for ({source['num_classes']} classes); install the version in requirements.txt"
            )
        vocabulary = cls(name, classes, tuple(split_synonyms(cls_name) for cls_name in classes))
        if "num_things" in data:
            return vocabulary.with_num_things(data["num_things"])
        if "thing_flags_of" in data:
            return replace(vocabulary, is_thing=cls.load(data["thing_flags_of"]).thing_mask)
        return vocabulary


def split_synonyms(name: str) -> tuple[str, ...]:
    """``'building, edifice'`` -> ``('building', 'edifice')``: the convention of the ADE20K names."""
    return _distinct(part.strip() for part in name.split(","))


def names_sha256(names: Iterable[str]) -> str:
    """Hash of an ordered list of names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _preview(entries: Sequence[Any]) -> str:
    """What a vocabulary that came as a list is called: its first names."""
    names = [str(entry.get("name")) if isinstance(entry, dict) else str(entry) for entry in entries[:3]]
    return ", ".join(names) + (", ..." if len(entries) > 3 else "")


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


@cache
def _load_packaged(name: str) -> Vocabulary:
    path = vocabulary_dir() / f"{name}.json"
    if name not in packaged_vocabularies():
        raise ValueError(
            f"unknown vocabulary {name!r}; packaged: {packaged_vocabularies()}, or give a path ending in .json or .txt "
            "or a list of names"
        )
    return Vocabulary._from_file(path)
