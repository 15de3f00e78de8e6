"""Which classes of a detection data set are base (annotated in training) and which are novel (named only in tests).

The splits are data: vocabularies with a list ``novel`` of class names. mmdet is not needed to read them.
"""

import json
from collections.abc import Mapping
from typing import Any

from densevlm_mm.vocabulary.vocabulary import Vocabulary, vocabulary_dir


def load_split(vocabulary: str) -> dict[str, tuple[str, ...]]:
    """Read a packaged vocabulary that has a base/novel split.

    Args:
        vocabulary: ``ov_coco_65`` (48 base, 17 novel) or ``ov_lvis_1203`` (866 base, 337 novel).

    Returns:
        Metainfo: ``classes`` in label order, and ``base_classes`` and ``novel_classes`` in that order too.

    Raises:
        ValueError: there is no such vocabulary, or it has no split.

    Example:
        >>> split = load_split("ov_coco_65")
        >>> is_novel = [name in split["novel_classes"] for name in split["classes"]]
    """
    classes = Vocabulary.load(vocabulary).classes
    content = json.loads((vocabulary_dir() / f"{vocabulary}.json").read_text(encoding="utf-8"))
    if "novel" not in content:
        raise ValueError(f"vocabulary {vocabulary!r} has no base/novel split: use 'ov_coco_65' or 'ov_lvis_1203'")
    return split_metainfo(classes, content["novel"], f"vocabulary {vocabulary!r}")


def split_metainfo(
    classes: tuple[str, ...], novel: list[str] | tuple[str, ...], source: str
) -> dict[str, tuple[str, ...]]:
    """Metainfo of a split, given the classes in label order and the novel ones among them in any order.

    Raises:
        ValueError: a novel class is not among the classes.
    """
    metainfo = dict(
        classes=tuple(classes),
        base_classes=tuple(name for name in classes if name not in set(novel)),
        novel_classes=tuple(name for name in classes if name in set(novel)),
    )
    if len(metainfo["novel_classes"]) != len(novel):
        raise ValueError(f"{source}: novel classes {sorted(set(novel) - set(classes))[:5]} are not among the classes")
    return metainfo


def check_split(metainfo: Mapping[str, Any], source: str) -> None:
    """Check that every class is either base or novel.

    Args:
        metainfo: of a data set.
        source: whose it is, for the error.

    Raises:
        ValueError: ``classes``, ``base_classes`` or ``novel_classes`` is missing, or they do not fit together.
    """
    missing = [key for key in ("classes", "base_classes", "novel_classes") if key not in metainfo]
    if missing:
        raise ValueError(
            f"{source} has no {missing[0]!r}, only {sorted(metainfo)}: use OVCocoDataset, or give classes, "
            "base_classes and novel_classes in metainfo"
        )
    labelled = [*metainfo["base_classes"], *metainfo["novel_classes"]]
    if sorted(labelled) != sorted(metainfo["classes"]):
        odd = sorted(set(labelled) ^ set(metainfo["classes"])) or sorted({n for n in labelled if labelled.count(n) > 1})
        raise ValueError(
            f"{source}: every class must be either in base_classes or in novel_classes, once; look at {odd[:5]}. Who "
            "overrides one of classes, base_classes and novel_classes must give all three"
        )
