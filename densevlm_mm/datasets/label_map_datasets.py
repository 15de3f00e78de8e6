"""Segmentation data sets with 8-bit labels whose files are checked: mmseg's, and a user's own.

Not imported by ``densevlm_mm.datasets``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from mmseg.datasets import ADE20KDataset, COCOStuffDataset, PascalContextDataset59
from mmseg.registry import DATASETS

from densevlm_mm.datasets.segmentation_files import CheckedLabelMaps


@DATASETS.register_module()
class LabelMapDataset(CheckedLabelMaps):
    """Images and label maps of one's own: label n is the n-th of ``metainfo.classes``.

    Args:
        **kwargs: As in :class:`CheckedLabelMaps`.

    Example:
        >>> train = DATASETS.build(dict(type='LabelMapDataset', metainfo=dict(classes=('road', 'tram')), pipeline=[],
        ...     data_root='data/streets', data_prefix=dict(img_path='images', seg_map_path='labels')))
    """


@DATASETS.register_module()
class COCOStuff164kDataset(CheckedLabelMaps, COCOStuffDataset):
    """mmseg's COCO-Stuff-164k, checked.

    Args:
        **kwargs: As in :class:`CheckedLabelMaps`.
    """


@DATASETS.register_module()
class ADE20K150Dataset(CheckedLabelMaps, ADE20KDataset):
    """mmseg's ADE20K of 150 classes, checked.

    Args:
        **kwargs: As in :class:`CheckedLabelMaps`.
    """


@DATASETS.register_module()
class PascalContext59Dataset(CheckedLabelMaps, PascalContextDataset59):
    """mmseg's Pascal Context of 59 classes, checked.

    Args:
        **kwargs: As in :class:`CheckedLabelMaps`.
    """
