"""What a test run writes beside its metrics: tables, predictions, pictures; and test-time augmentation."""

from copy import deepcopy
from pathlib import Path

from mmengine.config import Config, ConfigDict

_PER_CLASS_METRICS = ("RegionClassificationMetric", "OpenVocabularyIoUMetric")
_LABEL_MAP_METRICS = ("OpenVocabularyIoUMetric", "IoUMetric")


def enable_outputs(cfg: Config, out: str) -> None:
    """Make the test write its results.

    Args:
        cfg: The experiment, changed in place.
        out: ``.csv`` or ``.json`` for the per-class table of a region evaluation or a segmentor (both are written),
            ``.pkl`` for the predictions, a folder for the label maps of a segmentor.

    Raises:
        ValueError: If the config's evaluator cannot write that.
    """
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list | tuple) else [cfg.test_evaluator]
    kinds = [evaluator["type"].split(".")[-1] for evaluator in evaluators]
    suffix = Path(out).suffix
    if suffix in (".pkl", ".pickle"):
        dump = "mmdet.DumpDetResults" if cfg.get("default_scope") == "mmdet" else "DumpResults"
        cfg.test_evaluator = [*evaluators, dict(type=dump, out_file_path=out)]
    elif suffix in (".csv", ".json") and (found := _first(kinds, _PER_CLASS_METRICS)) is not None:
        evaluators[found]["outfile_prefix"] = str(Path(out).with_suffix(""))
    elif not suffix and (found := _first(kinds, _LABEL_MAP_METRICS)) is not None:
        evaluators[found]["output_dir"] = out
        if kinds[found] == "IoUMetric":
            evaluators[found]["keep_results"] = True  # mmseg's own would take the folder away
    else:
        raise ValueError(
            f"--out {out}: {', '.join(kinds)} cannot write this. Give .csv or .json for the per-class table of a "
            "region evaluation or a segmentor, .pkl for predictions, or a folder (no suffix) for a segmentor's label "
            "maps."
        )


def enable_show(cfg: Config, show_dir: str | None, show: bool = False, wait_time: float = 2) -> None:
    """Draw predictions into a folder, or in a window.

    Raises:
        ValueError: If the config has no visualization hook.
    """
    hook = cfg.get("default_hooks", {}).get("visualization")
    if hook is None:
        raise ValueError(
            "--show and --show-dir need default_hooks.visualization in the config, which draws predictions."
        )
    hook["draw"] = True
    if show:
        hook.update(show=True, wait_time=wait_time)
    if show_dir is None:
        return
    if cfg.get("default_scope") == "mmseg":
        cfg.visualizer["save_dir"] = show_dir
    else:
        hook["test_out_dir"] = show_dir


def enable_tta(cfg: Config) -> None:
    """Wrap the model in the config's test-time augmentation, or in mmdetection's standard one (flip) for a detector.

    Raises:
        ValueError: If the config defines none and is not a detector's.
    """
    if cfg.get("default_scope") == "mmdet":
        _default_detector_tta(cfg)
    if "tta_model" not in cfg or "tta_pipeline" not in cfg:
        raise ValueError("--tta needs tta_model and tta_pipeline in the config; this one defines none.")
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    innermost_dataset(cfg).pipeline = cfg.tta_pipeline


def _default_detector_tta(cfg: Config) -> None:
    if "tta_model" not in cfg:
        nms = dict(nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)
        cfg.tta_model = dict(type="DetTTAModel", tta_cfg=nms)  # in mmengine's root registry
    if "tta_pipeline" not in cfg:
        meta_keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "flip", "flip_direction")
        flips = [dict(type="mmdet.RandomFlip", prob=1.0), dict(type="mmdet.RandomFlip", prob=0.0)]
        packs = [dict(type="mmdet.PackDetInputs", meta_keys=meta_keys)]
        pipeline = deepcopy(innermost_dataset(cfg).pipeline)
        pipeline[-1] = dict(type="TestTimeAug", transforms=[flips, packs])
        cfg.tta_pipeline = pipeline


def _first(kinds: list[str], wanted: tuple[str, ...]) -> int | None:
    return next((position for position, kind in enumerate(kinds) if kind in wanted), None)


def innermost_dataset(cfg: Config) -> ConfigDict:
    """The config of the test data set inside its wrappers."""
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset
