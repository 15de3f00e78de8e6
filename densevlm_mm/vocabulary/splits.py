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
    if not isinstance(content, dict) or not isinstance(content.get("novel"), list):
        raise ValueError(
            f"vocabulary {vocabulary!r} has no base/novel split: use 'ov_coco_65', 'ov_lvis_1203', or a .json with "
            '"novel": [names]'
        )
    return split_metainfo(classes, content["novel"], f"vocabulary {vocabulary!r}")


def split_metainfo(classes: Sequence[str], novel: Sequence[str], source: str) -> dict[str, tuple[str, ...]]:
    """Metainfo of a split, given the classes in label order and the novel ones among them in any order and spelling.

    Args:
        classes: C names.
        novel: The novel ones.
        source: Whose they are, for the error.

    Raises:
        ValueError: If a novel class is not among the classes, or is one of them twice.
    """
    is_novel = novel_mask(classes, novel, source)
    return dict(
        classes=tuple(classes),
        base_classes=tuple(name for name, held_out in zip(classes, is_novel, strict=True) if not held_out),
        novel_classes=tuple(name for name, held_out in zip(classes, is_novel, strict=True) if held_out),
    )


def novel_mask(classes: Sequence[str], novel: Sequence[str], source: str) -> list[bool]:
    """Which of the classes are novel.

    Args:
        classes: C names.
        novel: The novel ones among them, in any order and spelling.
        source: Whose they are, for the error.

    Returns:
        C flags.

    Raises:
        ValueError: If a novel class is not among the classes, or the list has one twice.
    """
    finder = ClassFinder(classes)
    check_distinct(novel, f"{source}, novel classes")
    unknown = [name for name in novel if not finder.same(name)]
    if unknown:
        close = finder.close(unknown[0])
        hint = f"; close to {unknown[0]!r}: {', '.join(map(repr, close))}" if close else ""
        raise ValueError(f"{source}: novel classes {unknown[:5]} are not among the {len(classes)} classes{hint}")
    forms = set(map(normal_form, novel))
    return [normal_form(name) in forms for name in classes]


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
