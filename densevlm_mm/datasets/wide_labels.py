"""Segmentation data sets with more classes than 8 bits can number; their labels are 16-bit PNGs.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from collections.abc import Sequence
from typing import Any

from mmseg.registry import DATASETS

from densevlm_mm.datasets.segmentation_files import CheckedLabelMaps
from densevlm_mm.vocabulary import Vocabulary

WIDE_IGNORE_INDEX = 65535


def load_classes(vocabulary: str) -> tuple[str, ...]:
    """Class names of a packaged vocabulary, in label order."""
    return Vocabulary.load(vocabulary).classes


class WideLabelDataset(CheckedLabelMaps):
    """Base of data sets with 16-bit labels, in which 65535 is no class.

    mmseg marks classes left out by ``metainfo=dict(classes=...)`` with 255, which is a class here, and its loader cuts
    labels to 8 bits.

    Args:
        ignore_index: Label of pixels that do not count; must be 65535, which the converters write.
        **kwargs: As in :class:`CheckedLabelMaps`.

    Raises:
        ValueError: As :class:`CheckedLabelMaps`; ``ignore_index`` is another, or a class is unknown.
    """

    def __init__(self, ignore_index: int = WIDE_IGNORE_INDEX, **kwargs: Any) -> None:
        if ignore_index != WIDE_IGNORE_INDEX:
            raise ValueError(
                f"{type(self).__name__} has 16-bit labels, ignore_index {WIDE_IGNORE_INDEX}, not {ignore_index}"
            )
        super().__init__(ignore_index=ignore_index, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int] | None:
        """New label of every class, ``ignore_index`` for classes left out; None if nothing changes.

        Args:
            new_classes: The classes in use, None for all.
        """
        classes = cls.METAINFO["classes"]
        if new_classes is None or list(new_classes) == list(classes):
            return None
        unknown = set(new_classes) - set(classes)
        if unknown:
            raise ValueError(f"{cls.__name__} has no classes {sorted(unknown)[:5]}")
        new_labels = {name: label for label, name in enumerate(new_classes)}
        return {label: new_labels.get(name, WIDE_IGNORE_INDEX) for label, name in enumerate(classes)}


@DATASETS.register_module()
class ADE20K847Dataset(WideLabelDataset):
    """ADE20K with all 847 classes (A-847), as ``tools/dataset_converters/ade20k_847.py`` writes it.

    Args:
        **kwargs: As in ``WideLabelDataset``.
    """

    METAINFO = dict(classes=load_classes("ade20k_847"))


@DATASETS.register_module()
class PascalContext459Dataset(WideLabelDataset):
    """Pascal-Context with all 459 classes (PC-459), as ``tools/dataset_converters/pascal_context_459.py`` writes it.

    Args:
        ann_file: List of image names without suffix.
        **kwargs: As in ``WideLabelDataset``.
    """

    METAINFO = dict(classes=load_classes("pascal_context_459"))
