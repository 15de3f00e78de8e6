"""Which classes of a detection data set are base (annotated in training) and which are novel (named only in tests).

The splits are data: vocabularies with a list ``novel`` of class names. mmdet is not needed to read them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from densevlm_mm.vocabulary.class_matching import ClassFinder
from densevlm_mm.vocabulary.names import check_distinct, check_name, normal_form
from densevlm_mm.vocabulary.text_files import read_json
from densevlm_mm.vocabulary.vocabulary import Vocabulary, vocabulary_dir


def load_split(vocabulary: str) -> dict[str, tuple[str, ...]]:
    """Read a vocabulary that has a base/novel split.

    Args:
        vocabulary: ``ov_coco_65`` (48 base, 17 novel), ``ov_lvis_1203`` (866 base, 337 novel), or the path of a
            ``.json`` of your own that has ``novel``, a list of names, beside its classes.

    Returns:
        Metainfo: ``classes`` in label order, and ``base_classes`` and ``novel_classes`` in that order too.

    Raises:
        FileNotFoundError: If a path is given that does not exist.
        ValueError: If there is no such vocabulary, or it has no split.

    Example:
        >>> split = load_split("ov_coco_65")
        >>> is_novel = [name in split["novel_classes"] for name in split["classes"]]
    """
    classes = Vocabulary.load(vocabulary).classes
    path = Path(vocabulary) if vocabulary.endswith(".json") else vocabulary_dir() / f"{vocabulary}.json"
    content = read_json(path, "vocabulary file") if path.is_file() else {}
    novel = content.get("novel") if isinstance(content, dict) else None
    if not isinstance(novel, list) or not all(isinstance(name, str) for name in novel):
        raise ValueError(
            f"vocabulary {vocabulary!r} has no base/novel split: use 'ov_coco_65', 'ov_lvis_1203', or a .json with "
            '"novel": [names]'
        )
    return split_metainfo(classes, novel, f"vocabulary {vocabulary!r}")


def split_metainfo(classes: Sequence[str], novel: Sequence[str], source: str) -> dict[str, tuple[str, ...]]:
    """Metainfo of a split, given the classes in label order and the novel ones among them in any order and spelling.

    Args:
        classes: C names.
        novel: The novel ones.
        source: Whose they are, for the error.

    Raises:
        ValueError: If a novel class is not among the classes, or is one of them twice.
    """
    check_distinct(novel, f"{source}, novel classes")
    is_novel = novel_mask(classes, novel, source)
    return dict(
        classes=tuple(classes),
        base_classes=tuple(name for name, held_out in zip(classes, is_novel, strict=True) if not held_out),
        novel_classes=tuple(name for name, held_out in zip(classes, is_novel, strict=True) if held_out),
    )


def novel_names(novel_classes: str | Sequence[str]) -> Sequence[str]:
    """Novel classes as a config says them: names, or the name of a packaged split."""
    return load_split(novel_classes)["novel_classes"] if isinstance(novel_classes, str) else novel_classes


def novel_mask(classes: Sequence[str], novel: Sequence[str], source: str) -> list[bool]:
    """Which of the classes are novel.

    Args:
        classes: C names.
        novel: The novel ones among them, in any order and spelling.
        source: Whose they are, for the error.

    Returns:
        C flags.

    Raises:
        ValueError: If a novel class is not among the classes.
    """
    finder = ClassFinder(classes)
    unknown = [name for name in novel if not finder.same(name)]
    if unknown:
        close = finder.close(unknown[0])
        hint = f"; close to {unknown[0]!r}: {', '.join(map(repr, close))}" if close else ""
        raise ValueError(f"{source}: novel classes {unknown[:5]} are not among the {len(classes)} classes{hint}")
    forms = set(map(normal_form, novel))
    return [normal_form(name) in forms for name in classes]


def untrained_classes(wanted: Vocabulary, trained: Vocabulary, novel: Sequence[str]) -> tuple[str, ...]:
    """The classes of one vocabulary that a detector trained on another has not seen: held out there, or unknown.

    A class is looked up by its whole name, then by each of its synonyms; the first that is found decides. What the
    training vocabulary adds in brackets may be left out (``crab`` for ``crab_(animal)``).

    Args:
        wanted: What is to be detected.
        trained: What the detector's training knew.
        novel: The classes of ``trained`` that were held out.

    Returns:
        Names as ``wanted`` spells them, in its order.

    Raises:
        ValueError: If a name without brackets may be a trained class or one that was held out.
    """
    held_out = novel_mask(trained.classes, novel, f"vocabulary {trained.name!r}")
    finder = ClassFinder(trained.classes, trained.synonyms)
    untrained = []
    for cls, synonyms in zip(wanted.classes, wanted.synonyms, strict=True):
        found: list[int] = next(filter(None, map(finder.find_bare, (cls, *synonyms))), [])
        if len({held_out[index] for index in found}) > 1:
            meanings = ", ".join(
                f"{trained.classes[index]!r} ({'held out from' if held_out[index] else 'seen in'} training)"
                for index in found
            )
            raise ValueError(f"{cls!r} may be {meanings}: write the name of the one that is meant")
        if not found or held_out[found[0]]:
            untrained.append(cls)
    return tuple(untrained)


def check_split(metainfo: Mapping[str, Any], source: str) -> None:
    """Check that every class is either base or novel, whatever the order and the spelling.

    Args:
        metainfo: Of a data set.
        source: Whose it is, for the error.

    Raises:
        ValueError: If ``classes``, ``base_classes`` or ``novel_classes`` is missing, they do not fit together, or two
            classes are one name.
    """
    missing = [key for key in ("classes", "base_classes", "novel_classes") if key not in metainfo]
    if missing:
        raise ValueError(
            f"{source} has no {missing[0]!r}, only {sorted(metainfo)}: use OVCocoDataset, or give classes, "
            "base_classes and novel_classes in metainfo"
        )
    for name in metainfo["classes"]:
        check_name(name, f"{source}: class")
    for key in ("classes", "base_classes", "novel_classes"):
        check_distinct(metainfo[key], f"{source}, {key}")
    base, novel, classes = (
        set(map(normal_form, metainfo[key])) for key in ("base_classes", "novel_classes", "classes")
    )
    if odd := ((base | novel) ^ classes) or (base & novel):
        names = (*metainfo["classes"], *metainfo["base_classes"], *metainfo["novel_classes"])
        spelled = {normal_form(name): name for name in names}
        raise ValueError(
            f"{source}: every class must be either in base_classes or in novel_classes, once; look at "
            f"{sorted(spelled[form] for form in odd)[:5]}. Who overrides one of classes, base_classes and "
            "novel_classes must give all three"
        )
