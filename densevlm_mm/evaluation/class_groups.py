"""Which classes of an evaluation are things or stuff, and which names were seen in training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from densevlm_mm.vocabulary.class_matching import ClassFinder, synonyms_of
from densevlm_mm.vocabulary.names import normal_form
from densevlm_mm.vocabulary.vocabulary import Vocabulary


@dataclass(frozen=True, eq=False)
class ClassGroups:
    """The K classes of an evaluation with their groups.

    Args:
        classes: Names, as the data set spells them.
        synonyms: The names of each class.
        is_thing: (K,) bool, or None if unknown.
        is_seen: (K,) bool: a name of the class is a name of the training vocabulary; None if not asked for.
    """

    classes: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...] = ()
    is_thing: np.ndarray | None = None
    is_seen: np.ndarray | None = None

    @classmethod
    def of(
        cls, classes: tuple[str, ...], is_thing: Sequence[bool] | None = None, vocabulary: str | None = None
    ) -> "ClassGroups":
        """Look things and stuff up.

        Args:
            classes: Names of the data set.
            is_thing: Thing flags of the data set, if it has them.
            vocabulary: Vocabulary with the classes, in any order, which brings thing flags and synonyms; None: the
                names alone.

        Raises:
            ValueError: The vocabulary lacks a class of the data set, or has several of its name.
        """
        flags = None if is_thing is None else np.asarray(is_thing, dtype=bool)
        if vocabulary is None:
            return cls(classes, tuple(map(synonyms_of, classes)), flags)
        named = Vocabulary.load(vocabulary)
        rows = _rows_of(classes, named)
        synonyms = tuple(named.synonyms[row] for row in rows)
        return cls(classes, synonyms, None if named.is_thing is None else named.is_thing[rows])

    def with_seen(self, train_vocabulary: str | Sequence[str]) -> "ClassGroups":
        """Tell seen classes from unseen ones.

        Args:
            train_vocabulary: Name or file of the training vocabulary, or its names.
        """
        trained = Vocabulary.load(train_vocabulary) if isinstance(train_vocabulary, str) else None
        groups = map(synonyms_of, train_vocabulary) if trained is None else trained.synonyms
        names = {normal_form(name) for group in groups for name in group}
        is_seen = np.array([any(normal_form(name) in names for name in group) for group in self.synonyms], dtype=bool)
        return replace(self, is_seen=is_seen)

    def figures(self, iou: np.ndarray, present: np.ndarray) -> dict[str, float]:
        """Means of the IoU over the groups.

        Args:
            iou: (K,), NaN for classes that neither occur nor are predicted.
            present: (K,) bool: the class has ground truth.

        Returns:
            ``mIoU_present``, ``mIoU_all``, then those of the groups that have a present class; ``num_*``.
        """
        figures = dict(
            mIoU_present=float(iou[present].mean()),
            mIoU_all=float(np.where(present, iou, 0.0).mean()),
            num_present=float(present.sum()),
        )
        for key, flags in (("things", self.is_thing), ("seen", self.is_seen)):
            if flags is None:
                continue
            other = dict(things="stuff", seen="unseen")[key]
            for name, members in ((key, flags & present), (other, ~flags & present)):
                if members.any():
                    figures[f"mIoU_{name}"] = float(iou[members].mean())
                if key == "seen":
                    figures[f"num_{name}"] = float(members.sum())
        return figures

    def columns(self) -> dict[str, Any]:
        """Columns of a per-class table: name, and the groups that are known."""
        known = dict(name=self.classes, is_thing=self.is_thing, is_seen=self.is_seen)
        return {key: values for key, values in known.items() if values is not None}


def _rows_of(classes: Sequence[str], named: Vocabulary) -> list[int]:
    """Where the classes of a data set are in a vocabulary."""
    if list(map(normal_form, classes)) == list(map(normal_form, named.classes)):
        return list(range(len(classes)))  # one name may be thing and stuff
    finder = ClassFinder(named.classes)
    rows = [finder.same(name) for name in classes]
    wrong = [name for name, row in zip(classes, rows, strict=True) if len(row) != 1]
    if wrong:
        raise ValueError(
            f"vocabulary {named.name!r} ({len(named)} classes) of the metric is not that of the data set "
            f"({len(classes)} classes): it has no class, or several, of {len(wrong)} names such as {wrong[:5]}"
        )
    return [row[0] for row in rows]
