"""Which classes of an evaluation are things or stuff, and which names were seen in training."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from densevlm_mm.vocabulary.names import split_synonyms
from densevlm_mm.vocabulary.vocabulary import Vocabulary


def normalized_names(names: Iterable[str]) -> set[str]:
    """Names in lower case without outer blanks, each synonym of a comma-separated name for itself."""
    return {synonym.lower() for name in names for synonym in split_synonyms(name)}


@dataclass(frozen=True, eq=False)
class ClassGroups:
    """The K classes of an evaluation with their groups.

    Args:
        classes: names.
        is_thing: (K,) bool, or None if unknown.
        is_seen: (K,) bool: a name of the class is a name of the training vocabulary; None if not asked for.
    """

    classes: tuple[str, ...]
    is_thing: np.ndarray | None = None
    is_seen: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        classes: tuple[str, ...],
        is_thing: Sequence[bool] | None = None,
        vocabulary: str | None = None,
        train_vocabulary: str | Sequence[str] | None = None,
    ) -> "ClassGroups":
        """Look the groups up.

        Args:
            classes: names of the data set.
            is_thing: thing flags of the data set, if it has them.
            vocabulary: vocabulary with the same classes, which brings thing flags and synonyms; None: the names alone.
            train_vocabulary: name or file of the training vocabulary, or its names; None: not asked for.

        Raises:
            ValueError: the vocabulary is not that of the data set.
        """
        synonyms: Sequence[Sequence[str]] = [(name,) for name in classes]
        flags = None if is_thing is None else np.asarray(is_thing, dtype=bool)
        if vocabulary is not None:
            named = Vocabulary.load(vocabulary)
            differing = [(a, b) for a, b in zip(named.classes, classes, strict=False) if a.strip() != b.strip()]
            if len(named) != len(classes) or differing:
                raise ValueError(
                    f"vocabulary {vocabulary!r} ({len(named)} classes) of the metric is not that of the data set "
                    f"({len(classes)} classes); first difference: {differing[0] if differing else 'the number'}"
                )
            synonyms, flags = named.synonyms, named.is_thing
        is_seen = None
        if train_vocabulary is not None:
            is_seen = _seen(synonyms, train_vocabulary)
        return cls(classes, flags, is_seen)

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


def _seen(synonyms: Sequence[Sequence[str]], train_vocabulary: str | Sequence[str]) -> np.ndarray:
    if isinstance(train_vocabulary, str):
        names = normalized_names(name for group in Vocabulary.load(train_vocabulary).synonyms for name in group)
    else:
        names = normalized_names(train_vocabulary)
    return np.array([bool(normalized_names(group) & names) for group in synonyms])
