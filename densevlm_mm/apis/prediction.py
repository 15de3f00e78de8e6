"""An experiment that predicts on a user's images."""

from collections.abc import Sequence
from logging import WARNING
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log
from mmengine.registry import DATASETS, TRANSFORMS

from densevlm_mm.apis.components import component_class
from densevlm_mm.apis.image_listing import list_images
from densevlm_mm.apis.outputs import enable_show, innermost_dataset
from densevlm_mm.tables import write_json

DEFAULT_SCORE_THR = 0.3


def predict_on_images(cfg: Config, images: Sequence[str], out_dir: str, score_thr: float | None = None) -> None:
    """Let the test run of an experiment read images without annotations, and write predictions instead of figures.

    Written are ``out_dir/predictions.json`` and ``pictures/``, a segmentor's ``label_maps/`` too, see
    :class:`~densevlm_mm.evaluation.PredictionRecorder`. Results are named by the path below the folder that was given,
    see :func:`list_images`; ``out_dir/images.json`` lists what is read. One image is read at a time; one that cannot be
    read is skipped and listed. The console is quiet.

    Args:
        cfg: The experiment of a detector or segmentor, changed in place.
        images: Image files and folders; folders are searched with their subfolders, but for ``out_dir``.
        out_dir: Folder of the results, made when missing.
        score_thr: Only detections with a higher score are written and drawn; default: 0.3.

    Raises:
        FileNotFoundError: If an image or folder does not exist.
        ValueError: If there is no image at all, the config tests no detector or segmentor, or ``score_thr`` is not in
            [0, 1].
    """
    if cfg.get("default_scope") not in ("mmdet", "mmseg") or "test_dataloader" not in cfg:
        raise ValueError(f"{cfg.filename} is no detector's or segmentor's config with a test_dataloader.")
    if score_thr is not None and cfg.default_scope == "mmseg":
        print_log("a score threshold has no effect on a segmentor, which gives every pixel a class", level=WARNING)
    score_thr = DEFAULT_SCORE_THR if score_thr is None else score_thr
    if not 0 <= score_thr <= 1:
        raise ValueError(f"the score threshold is a number in [0, 1], not {score_thr}")
    listed = list_images(images, out_dir)
    listing = Path(out_dir) / "images.json"
    write_json(listing, listed)
    cfg.test_dataloader = ConfigDict(
        {key: value for key, value in cfg.test_dataloader.items() if key not in ("batch_sampler", "collate_fn")},
        batch_size=1,
        drop_last=False,
        sampler=dict(type="DefaultSampler", shuffle=False),
        dataset=dict(
            type="densevlm_mm.PredictionImageDataset",
            source=str(listing),
            pipeline=_pipeline_without_annotations(cfg),
            metainfo=_class_names(cfg),
        ),
    )
    cfg.test_evaluator = dict(type="densevlm_mm.PredictionRecorder", out_dir=str(out_dir), score_thr=score_thr)
    cfg.test_cfg = ConfigDict(cfg.get("test_cfg") or {}, type="densevlm_mm.PredictionLoop")
    cfg.runner_type = cfg.get("runner_type", "densevlm_mm.QuietRunner")
    enable_show(cfg, str(Path(out_dir) / "pictures"))
    if cfg.default_scope == "mmdet":
        cfg.default_hooks.visualization.score_thr = score_thr
    cfg.default_hooks.pop("evaluation_record", None)  # there are no figures


def _pipeline_without_annotations(cfg: Config) -> list[Any]:
    steps = []
    for step in innermost_dataset(cfg).pipeline:
        kind = component_class(cfg, TRANSFORMS, step)
        if isinstance(kind, type) and issubclass(kind, LoadAnnotations):
            continue
        if kind is LoadImageFromFile and set(step) <= {
            "type",
            "backend_args",
        }:  # ours says what is wrong with an image, and that it is truncated
            step = {**step, "type": "densevlm_mm.LoadImage"}
        steps.append(step)
    return steps


def _class_names(cfg: Config) -> dict[str, Any]:
    """Classes of the data set that the config tests on, for models whose predictions carry no names."""
    dataset = innermost_dataset(cfg)
    known = {**getattr(component_class(cfg, DATASETS, dataset), "METAINFO", {}), **(dataset.get("metainfo") or {})}
    return {key: known[key] for key in ("classes", "palette") if known.get(key) is not None}
