"""TinyScenes for semantic segmentation.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from collections.abc import Sequence
from typing import Any

from mmseg.registry import DATASETS

from densevlm_mm.datasets.segmentation_files import CheckedLabelMaps
from densevlm_mm.tiny_scenes.classes import CLASS_NAMES


@DATASETS.register_module()
class TinyScenesSegDataset(CheckedLabelMaps):
    """Images and label maps of TinyScenes, 32 classes, things first.

    Args:
        ignore_classes: Classes whose pixels become ``ignore_index`` when they are loaded, for training without them;
            ``metainfo`` keeps all classes, so that labels mean the same in training and tests.
        **kwargs: As in :class:`CheckedLabelMaps`.

    Raises:
        ValueError: As :class:`CheckedLabelMaps`; there is no such class.
        FileNotFoundError: The folder of images or labels does not exist.

    Example:
        >>> train = DATASETS.build(dict(type='TinyScenesSegDataset', data_root='data/tiny_scenes', pipeline=[],
        ...     ignore_classes=('snow', 'rock'), data_prefix=dict(img_path='train', seg_map_path='semantic_train')))
    """

    METAINFO = dict(classes=CLASS_NAMES)

    def __init__(self, ignore_classes: Sequence[str] = (), **kwargs: Any) -> None:
        unknown = sorted(set(ignore_classes) - set(CLASS_NAMES))
        if unknown:
            raise ValueError(f"ignore_classes: TinyScenes has no {unknown}, only {', '.join(CLASS_NAMES)}")
        self.ignore_classes = tuple(ignore_classes)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images and their labels, each with the map of labels to ignore."""
        data_list = super().load_data_list()
        if self.ignore_classes:
            # mmseg's loader applies it to the labels of the file.
            kept = self.label_map or {label: label for label in range(len(CLASS_NAMES))}
            ignored = {CLASS_NAMES.index(name) for name in self.ignore_classes}
            label_map = {old: self.ignore_index if old in ignored else new for old, new in kept.items()}
            for data_info in data_list:
                data_info["label_map"] = label_map
        return data_list
