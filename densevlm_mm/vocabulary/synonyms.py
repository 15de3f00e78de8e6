"""A vocabulary once more, by other names: what a model loses when users do not say what its data set says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from densevlm_mm.vocabulary.class_matching import ClassFinder
from densevlm_mm.vocabulary.names import check_name, normal_form, split_synonyms
from densevlm_mm.vocabulary.text_files import read_json, read_lines
from densevlm_mm.vocabulary.vocabulary import Vocabulary, packaged_vocabularies

OWN = "own"
# What `SynonymVocabulary.of` takes: OWN, a packaged table or vocabulary, a path, or name -> synonyms.
SynonymSource = str | Path | Mapping[str, str | Sequence[str]]


def packaged_synonyms() -> list[str]:
    """Names of the tables of synonyms in ``densevlm_mm/vocabulary/synonym_tables``."""
    return sorted(path.stem for path in _table_dir().glob("*.json"))


@dataclass(frozen=True, eq=False)
class SynonymVocabulary(Vocabulary):
    """The classes of another vocabulary, shown by its names and prompted by synonyms of them.

    Labels, thing flags, base and novel classes are those of the other one. A class without a synonym is prompted as
    there.

    Args:
        replaced: Places of the classes that are prompted by other names.
        dropped: Synonyms of a source that were left out since they are names of another class too.

    Raises:
        ValueError: As `Vocabulary`.
    """

    replaced: frozenset[int] = frozenset()
    dropped: tuple[str, ...] = ()

    @classmethod
    def of(cls, first: Vocabulary, source: SynonymSource) -> "SynonymVocabulary":
        """Give the classes of a vocabulary other names.

        Args:
            first: The vocabulary.
            source: Where the synonyms come from:

                - ``'own'``: what the vocabulary's own names have behind the first comma (``building, edifice``);
                - the name of a packaged table, ``'tiny_scenes'``;
                - a ``.json`` of names and synonyms, ``{"boat": "ship", "car": ["automobile", "motorcar"]}``;
                - a ``.txt`` with a class a line, ``car: automobile, motorcar``;
                - an annotation file whose categories have ``synonyms`` (LVIS);
                - a second vocabulary, class by class, as `Vocabulary.load` takes it.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If a name is no class, the number of classes or their thing flags differ, no class gets another
                name, or a synonym is a name of another class too. (Of the vocabulary's own names, of packaged
                vocabularies and of annotation files, which nobody wrote for this, such a synonym is left out, see
                ``dropped``.)
        """
        table = _Table.read(source, first)
        names = [list(table.names.get(index, ())) for index in range(len(first))]
        dropped = _without_collisions(first, names, table)
        replaced = frozenset(index for index, own in enumerate(names) if own)
        if not replaced:
            raise ValueError(
                f"{table.where} gives no class of {first.name!r} another name, so that nothing is compared"
            )
        return cls(
            name=f"{first.name}, synonyms",
            classes=first.classes,
            synonyms=tuple(tuple(own) or kept for own, kept in zip(names, first.synonyms, strict=True)),
            is_thing=first.is_thing,
            replaced=replaced,
            dropped=tuple(dropped),
        )

    @property
    def kept(self) -> list[str]:
        """Classes that have no synonym."""
        return [name for index, name in enumerate(self.classes) if index not in self.replaced]

    def prompt_names(self, synonyms: str = "all") -> tuple[tuple[str, ...], ...]:
        """The names that go into the prompts; ``'joined'`` joins the synonyms by commas, see `Vocabulary`."""
        if synonyms not in ("first", "joined"):
            return super().prompt_names(synonyms)
        joined = synonyms == "joined"
        return tuple(
            ((", ".join(names) if index in self.replaced else cls.strip()) if joined else names[0],)
            for index, (cls, names) in enumerate(zip(self.classes, self.synonyms, strict=True))
        )


@dataclass(frozen=True)
class _Table:
    """Synonyms by the places of classes.

    Args:
        where: Whose they are, for messages.
        names: Place of a class to its synonyms.
        is_strict: Whether somebody wrote them for this purpose.
    """

    where: str
    names: dict[int, tuple[str, ...]]
    is_strict: bool

    @classmethod
    def read(cls, source: SynonymSource, first: Vocabulary) -> "_Table":
        if isinstance(source, Mapping):
            return cls._by_name("the synonyms", source, first)
        if source == OWN:
            later = {index: names[1:] for index, names in enumerate(first.synonyms)}
            return cls(f"vocabulary {first.name!r}", later, is_strict=False)
        if source in packaged_synonyms():
            known = {name: names for name, names in read_json(_table_dir() / f"{source}.json", "synonyms").items()}
            finder = ClassFinder(first.classes)  # one table for several vocabularies of the same world
            mine = {name: names for name, names in known.items() if finder.same(name)}
            return cls._by_name(f"the packaged synonyms {source!r}", mine, first)
        path = Path(source)
        if path.suffix.lower() == ".json":
            return cls._from_json(path, first)
        if path.suffix.lower() == ".txt":
            lines = read_lines(path, "file of synonyms")
            if any(":" in line for line in lines):
                return cls._by_name(f"file of synonyms {path}", dict(_parted(lines, path)), first)
        elif str(source) not in packaged_vocabularies():
            raise ValueError(
                f"unknown synonyms {str(source)!r}: give {OWN!r}, a packaged table {packaged_synonyms()}, a .json or "
                f".txt file, or a packaged vocabulary {packaged_vocabularies()}"
            )
        # A packaged vocabulary was not written to stand in for another one.
        return cls._by_place(Vocabulary.load(source), first, is_strict=path.suffix.lower() == ".txt")

    @classmethod
    def _from_json(cls, path: Path, first: Vocabulary) -> "_Table":
        where = f"file of synonyms {path}"
        content = read_json(path, "file of synonyms")
        if isinstance(content, dict) and isinstance(content.get("categories"), list):
            names = {
                str(category.get("name")): category["synonyms"]
                for category in content["categories"]
                if category.get("synonyms")
            }
            if not names:
                raise ValueError(f"{where}: its categories have no 'synonyms'; LVIS's annotation files have them")
            finder = ClassFinder(first.classes)
            mine = {name: own for name, own in names.items() if finder.same(name)}
            return cls(where, cls._by_name(where, mine, first).names, is_strict=False)
        if isinstance(content, list) or {"classes", "derive", "same_as"} & content.keys():
            return cls._by_place(Vocabulary.load(path), first)
        return cls._by_name(where, content, first)

    @classmethod
    def _by_name(cls, where: str, table: Mapping[str, Any], first: Vocabulary) -> "_Table":
        finder = ClassFinder(first.classes, first.synonyms)
        names: dict[int, tuple[str, ...]] = {}
        for name, given in table.items():
            places = finder.same(name) or finder.find(name)
            if not places:
                raise ValueError(f"{where}: {name!r} is no class of {first.name!r}{_hint(finder, name, given)}")
            own = _listed(where, name, given)
            for place in places:  # a name may be a thing and a stuff class
                if place in names:
                    raise ValueError(f"{where}: {first.classes[place]!r} is named twice, once as {name!r}: join them")
                names[place] = own
        return cls(where, names, is_strict=True)

    @classmethod
    def _by_place(cls, second: Vocabulary, first: Vocabulary, is_strict: bool = True) -> "_Table":
        if len(second) != len(first):
            raise ValueError(
                f"vocabulary {second.name!r} has {len(second)} classes, {first.name!r} has {len(first)}: synonyms go "
                "class by class, in the same order"
            )
        if (
            second.is_thing is not None
            and first.is_thing is not None
            and not np.array_equal(second.is_thing, first.is_thing)
        ):
            place = int((second.is_thing != first.is_thing).argmax())
            raise ValueError(
                f"class {place} is {first.classes[place]!r} of {first.name!r} and {second.classes[place]!r} of "
                f"{second.name!r}, and but one of them is a thing: are the classes in the same order?"
            )
        return cls(f"vocabulary {second.name!r}", dict(enumerate(second.synonyms)), is_strict)


def _without_collisions(first: Vocabulary, names: list[list[str]], table: _Table) -> list[str]:
    """Take out a class's own names, and the names of other classes, which are an error if the table is strict."""
    own = [{normal_form(cls), normal_form(known[0])} for cls, known in zip(first.classes, first.synonyms, strict=True)]
    holders: dict[str, list[int]] = {}
    for index, (cls, known) in enumerate(zip(first.classes, first.synonyms, strict=True)):
        for form in dict.fromkeys(map(normal_form, (cls, *known, *names[index]))):
            holders.setdefault(form, []).append(index)
    dropped = []
    for index, synonyms in enumerate(names):
        for synonym in list(synonyms):
            form = normal_form(synonym)
            # A class that is both thing and stuff has one name, and may have one synonym.
            others = [other for other in holders[form] if not own[other] & own[index]]
            if form in own[index]:
                synonyms.remove(synonym)
            elif others and table.is_strict:
                raise ValueError(
                    f"{table.where}: {synonym!r} is to stand for {first.classes[index]!r}, but is a name of "
                    f"{first.classes[others[0]]!r} too, or a synonym of it: both would share one prompt"
                )
            elif others:
                synonyms.remove(synonym)
                dropped.append(synonym)
    return dropped


def _listed(where: str, name: str, given: Any) -> tuple[str, ...]:
    listed = split_synonyms(given) if isinstance(given, str) else given
    if not isinstance(listed, list | tuple) or not all(isinstance(synonym, str) for synonym in listed):
        raise ValueError(f"{where}: synonyms of {name!r} are {given!r:.120}, not a name or a list of names")
    for synonym in listed:
        check_name(synonym, f"{where}: synonym of {name!r},")
    return tuple(dict.fromkeys(synonym.strip() for synonym in listed))


def _parted(lines: Sequence[str], path: Path) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for line in lines:
        name, colon, synonyms = (part.strip() for part in line.partition(":"))
        if not colon or not name or not synonyms or name in seen:
            problem = "names a class for the second time" if name in seen else "is not of the form NAME: SYNONYM, ..."
            raise ValueError(f"file of synonyms {path}: the line {line!r:.80} {problem}")
        seen.add(name)
        yield name, synonyms


def _hint(finder: ClassFinder, name: str, given: Any) -> str:
    if isinstance(given, str) and finder.find(given):
        return f", but {given!r} is: the class comes first, then its synonyms"
    close = finder.close(name)
    return f"; close to it: {', '.join(map(repr, close))}" if close else ""


def _table_dir() -> Path:
    return Path(__file__).parent / "synonym_tables"
