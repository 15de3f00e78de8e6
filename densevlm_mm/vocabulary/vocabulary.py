"""Category vocabularies: display names, synonyms for prompting, thing flags. The data are JSON files.

Packaged ones live in ``densevlm_mm/vocabulary/data``. A file either stores its classes, or says where an
installed package keeps them (``derive``), or names another vocabulary with the same content (``same_as``).
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, Union

import numpy as np

from densevlm_mm.vocabulary.entries import check_list_of_names, parse_entries
from densevlm_mm.vocabulary.names import check_name, normal_form, prompt_form, split_synonyms
from densevlm_mm.vocabulary.source_literals import read_source_literal
from densevlm_mm.vocabulary.text_files import read_json, read_lines

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
    if not isinstance(num_things, int) or not 0 <= num_things <= num_classes:
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
        ValueError: If it is empty, lengths differ, a name is empty or cannot be seen as it is, or two classes with the
            same thing flag have one name, or one set of synonyms, in whatever spelling: prompts of both would share one
            score. (The same name once as thing and once as stuff is a fact of set_316 and allowed.)

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
            for name in dict.fromkeys((cls.strip(), *names)):
                check_name(name, f"vocabulary {self.name!r}: name of class {index},")
        if self.is_thing is not None:
            is_thing = np.array(self.is_thing, dtype=bool)  # a copy: made read-only below
            if is_thing.shape != (len(self.classes),):
                raise ValueError(
                    f"vocabulary {self.name!r}: is_thing has shape {is_thing.shape}, expected ({len(self.classes)},)"
                )
            is_thing.setflags(write=False)
            object.__setattr__(self, "is_thing", is_thing)
        self._check_distinct([(normal_form(cls),) for cls in self.classes])
        self._check_distinct([tuple(sorted(set(map(normal_form, names)))) for names in self.synonyms])

    def _check_distinct(self, keys: Sequence[tuple[str, ...]]) -> None:
        """Refuse two classes of one kind (things, stuff) with equal keys, which are what a class is to the model."""
        flags = [None] * len(self) if self.is_thing is None else self.is_thing.tolist()
        first_seen: dict[tuple[tuple[str, ...], bool | None], int] = {}
        for index, (key, flag) in enumerate(zip(keys, flags, strict=True)):
            previous = first_seen.setdefault((key, flag), index)
            if previous != index:
                kind = {None: "", True: " (things)", False: " (stuff)"}[flag]
                one, other = self.classes[previous], self.classes[index]
                same_prompt = prompt_form(one) == prompt_form(other)
                raise ValueError(
                    f"vocabulary {self.name!r}: {other!r} occurs twice{kind}, as class {previous} and {index}: "
                    f"{one!r} and {other!r} {'have one prompt,' if same_prompt else 'are one name,'} "
                    f"{', '.join(key)!r}, and would share its score; remove one, or make them synonyms of one class in "
                    "a .json"
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
            ValueError: If the rule is unknown, or leaves two classes of one kind with one prompt. The packaged
                vocabularies may: ADE20K-847 has nine such groups by its first synonyms, as published.
        """
        if synonyms == "all":
            return self.synonyms
        if synonyms not in SYNONYM_RULES:
            raise ValueError(f"unknown synonyms rule {synonyms!r}; choose from {SYNONYM_RULES}")
        first = synonyms == "first"
        names = tuple((own[0] if first else cls.strip(),) for cls, own in zip(self.classes, self.synonyms, strict=True))
        if first and not self._is_packaged():
            self._check_distinct([(normal_form(name),) for (name,) in names])
        return names

    def _is_packaged(self) -> bool:
        if self.name not in packaged_vocabularies():
            return False
        packaged = _load_packaged(self.name)
        return self.classes[: len(packaged)] == packaged.classes

    def with_num_things(self, num_things: int) -> "Vocabulary":
        """The same classes with exactly the first ``num_things`` taken for things.

        The published training used 203 of the 204 things of set_316; ``with_num_things(203)`` says that.
        """
        return replace(self, is_thing=things_first_mask(len(self), num_things, self.is_thing, self.name))

    def with_extra_classes(self, names: Iterable[str]) -> "Vocabulary":
        """Append classes such as ``'background'``; where there are thing flags, they are stuff."""
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
        """Load a vocabulary from wherever a config or a user has it.

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
            return cls._from_list(source)
        if not isinstance(source, str | Path):
            raise ValueError(
                f"a vocabulary is a packaged name, a path ending in .json or .txt or a list of names, not {source!r}"
            )
        path = Path(source)
        if path.suffix.lower() not in (".json", ".txt"):
            return _load_packaged(str(source))
        if not path.is_file():
            raise FileNotFoundError(
                f"vocabulary file {str(path)!r} does not exist; packaged: {packaged_vocabularies()}"
            )
        with _errors_name(f"vocabulary file {path}"):
            return cls._from_text(path) if path.suffix.lower() == ".txt" else cls._from_json(path)

    @classmethod
    def _from_text(cls, path: Path) -> "Vocabulary":
        where = f"vocabulary file {path}"
        names = read_lines(path, "vocabulary file")
        check_list_of_names(where, names, "write one name a line")
        return cls(path.stem, *parse_entries(where, names))

    @classmethod
    def _from_list(cls, entries: Sequence[Any]) -> "Vocabulary":
        name = _preview(entries)
        parsed = parse_entries(f"vocabulary {name!r}", entries)
        if packaged := sorted(set(parsed.classes) & set(packaged_vocabularies())):
            raise ValueError(
                f"vocabulary {name!r}: {packaged[0]!r} is a packaged vocabulary, not a class; for its classes give "
                f"{packaged[0]!r} alone, not in a list"
            )
        return cls(name, *parsed)

    @classmethod
    def _from_json(cls, path: Path) -> "Vocabulary":
        where = f"vocabulary file {path}"
        data = read_json(path, "vocabulary file")
        if isinstance(data, list):
            data = {"classes": data}
        if not isinstance(data, dict) or not {"classes", "derive", "same_as"} & data.keys():
            raise ValueError(
                f'{where}: expected {{"name": ..., "classes": [{{"name": ..., "isthing": 0}}]}} or a list of names'
            )
        name = data.get("name", path.stem)
        if not isinstance(name, str):
            raise ValueError(f"{where}: its name is {name!r:.60}, not text")
        if "same_as" in data:
            vocabulary = replace(_load_packaged(str(data["same_as"])), name=name)
        elif "derive" in data:
            vocabulary = cls._derive(name, data["derive"])
        else:
            vocabulary = cls(name, *parse_entries(where, data["classes"]))
        if "thing_flags_of" in data:
            vocabulary = replace(vocabulary, is_thing=_load_packaged(str(data["thing_flags_of"])).thing_mask)
        return vocabulary.with_num_things(data["num_things"]) if "num_things" in data else vocabulary

    @classmethod
    def _derive(cls, name: str, source: Any) -> "Vocabulary":
        texts = ("package", "file", "variable", "key", "names_sha256")
        if not isinstance(source, dict) or not all(isinstance(source.get(key), str) for key in texts):
            raise ValueError(f"derive needs {', '.join(texts)}; to list classes yourself give 'classes'")
        classes = tuple(read_source_literal(source["package"], source["file"], source["variable"], source["key"]))
        # Labels are indices into this list: a changed upstream list must not pass unnoticed.
        if len(classes) != source.get("num_classes") or names_sha256(classes) != source["names_sha256"]:
            raise ValueError(
                f"{source['variable']} of the installed {source['package']} is not the class list that vocabulary "
                f"{name!r} stands for ({source.get('num_classes')} classes); install the version in requirements.txt"
            )
        return cls(name, classes, tuple(split_synonyms(cls_name) for cls_name in classes))


def names_sha256(names: Iterable[str]) -> str:
    """Hash of an ordered list of names."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


@contextmanager
def _errors_name(where: str) -> Iterator[None]:
    """Put the file before what is wrong with it."""
    try:
        yield
    except ValueError as error:
        if str(error).startswith(where):
            raise
        raise ValueError(f"{where}: {error}") from error


def _preview(entries: Sequence[Any]) -> str:
    """What a vocabulary that came as a list is called: its first names."""
    names = [str(entry.get("name")) if isinstance(entry, dict) else str(entry) for entry in entries[:3]]
    return ", ".join(name if len(name) <= 40 else f"{name[:39]}…" for name in names) + ", ..." * (len(entries) > 3)


@cache
def _load_packaged(name: str) -> Vocabulary:
    path = vocabulary_dir() / f"{name}.json"
    if name not in packaged_vocabularies():
        close = difflib.get_close_matches(name, packaged_vocabularies(), n=1)
        hint = f" (is {close[0]!r} meant?)" if close else ""
        raise ValueError(
            f"unknown vocabulary {name!r}{hint}; packaged: {packaged_vocabularies()}, or give a path ending in .json "
            "or .txt or a list of names"
        )
    return Vocabulary._from_json(path)
