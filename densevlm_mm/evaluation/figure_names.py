"""Which figures a metric will give, told from its config: an epoch is late to find out that one is missing."""

from collections.abc import Mapping
from typing import Any

_REGION = (
    *(f"{group}_top{top}" for group in ("boxes", "masks_t", "masks_s") for top in (1, 5)),
    *("foreground_bias", "things_called_stuff", "offset_control", "offset_control_before", "offset_control_offset"),
    *("num_things", "num_stuff", "num_empty_masks", "coherence_auc"),
)
_OPEN_VOCABULARY_IOU = (
    *("mIoU_present", "mIoU_all", "mIoU_things", "mIoU_stuff", "mIoU_seen", "mIoU_unseen"),
    *("num_present", "num_seen", "num_unseen"),
)
_IOU = dict(mIoU=("mIoU", "mAcc"), mDice=("mDice", "mAcc"), mFscore=("mFscore", "mPrecision", "mRecall"))
_COCO = ("mAP", "mAP_50", "mAP_75", "mAP_s", "mAP_m", "mAP_l")
_OV_COCO = ("novel_ap50", "base_ap50", "all_ap50", "novel_ap", "base_ap")
_LVIS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "APr", "APc", "APf")
# Options with which mmdet's metrics give others.
_WITH_OTHERS = ("metric_items", "classwise", "proposal_nums", "format_only")


def figure_names(kind: type, options: Mapping[str, Any]) -> list[str] | None:
    """The figures of one of our metrics, or of those of mmdet and mmseg that our configs use.

    Args:
        kind: The metric's class.
        options: Its config.

    Returns:
        The names with their prefix; a group of classes may be absent. None if they are not known beforehand.
    """
    lineage = {base.__name__ for base in kind.__mro__}
    names: list[str] = []
    if "RegionClassificationMetric" in lineage:
        names = list(_REGION)
    elif "IoUMetric" in lineage and not options.get("format_only"):
        wanted = _listed(options.get("iou_metrics", "mIoU"))
        names = ["aAcc", *(figure for name in wanted for figure in _IOU.get(name, ()))]
        names += _OPEN_VOCABULARY_IOU if "OpenVocabularyIoUMetric" in lineage else ()
    elif lineage & {"CocoMetric", "LVISMetric"} and not any(options.get(key) for key in _WITH_OTHERS):
        items = [f"_{item}" for item in (_LVIS if "LVISMetric" in lineage else _COCO)]
        wanted = _listed(options.get("metric", "bbox"))
        if set(wanted) <= {"bbox", "segm"}:
            names = [f"{name}{item}" for name in wanted for item in items]
            names += _OV_COCO if "OVCocoAP50Metric" in lineage else ()
    prefix = options.get("prefix") or getattr(kind, "default_prefix", None)
    return [f"{prefix}/{name}" if prefix else name for name in dict.fromkeys(names)] or None


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
