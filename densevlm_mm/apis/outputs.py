"""What a test run writes beside its metrics: tables, predictions, pictures; and test-time augmentation."""

from copy import deepcopy
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import HOOKS, METRICS

from densevlm_mm.apis.components import component_class
from densevlm_mm.engine.hooks.picture_hook import PictureHook
from densevlm_mm.evaluation.class_table import WritesClassTable

# Our hooks that take the place of mmdet's and mmseg's, and the modules that register them.
_PICTURE_HOOKS = dict(
    mmdet=("densevlm_mm.detection", "mmdet.NamedDetVisualizationHook"),
    mmseg=("densevlm_mm.segmentation", "mmseg.LegendSegVisualizationHook"),
)


def enable_outputs(cfg: Config, out: str) -> None:
    """Make the test write its results.

    Args:
        cfg: The experiment, changed in place.
        out: ``.json`` for the figures and what they are of; with a metric that has a per-class table (region
            classification, IoU), ``.csv`` and ``.json`` have that too, and both are written. ``.pkl`` for the
            predictions, a folder for the label maps of a segmentor.

    Raises:
        ValueError: If the config's evaluator cannot write that.
    """
    evaluators = list(cfg.test_evaluator) if isinstance(cfg.test_evaluator, list | tuple) else [cfg.test_evaluator]
    scope, suffix = cfg.get("default_scope"), Path(out).suffix
    with_table = [e for e in evaluators if _is_a(component_class(cfg, METRICS, e), WritesClassTable)]
    if suffix in (".pkl", ".pickle"):
        dump = "mmdet.WholeDumpDetResults" if scope == "mmdet" else "densevlm_mm.WholeDumpResults"
        _add_import(cfg, "densevlm_mm.detection" if scope == "mmdet" else "densevlm_mm")
        cfg.test_evaluator = [*evaluators, dict(type=dump, out_file_path=out)]
    elif suffix in (".csv", ".json") and with_table:
        with_table[0]["outfile_prefix"] = str(Path(out).with_suffix(""))
    elif suffix == ".json":
        add_hook(cfg, "evaluation_record", "densevlm_mm.EvaluationRecordHook")["out_file"] = out
    elif not suffix and scope == "mmseg":
        _write_label_maps(cfg, evaluators, out)
    else:
        kinds = ", ".join(str(evaluator["type"]) for evaluator in evaluators)
        raise ValueError(
            f"--out {out}: {kinds} cannot write this. Give .json for the figures, .csv for the per-class table of a "
            "region evaluation or a segmentor, .pkl for predictions, or a folder (no suffix) for a segmentor's label "
            "maps."
        )


def _write_label_maps(cfg: Config, evaluators: list[Any], folder: str) -> None:
    ours = import_module("densevlm_mm.evaluation.ov_iou_metric").OpenVocabularyIoUMetric
    for evaluator in evaluators:
        if _is_a(component_class(cfg, METRICS, evaluator), ours):
            evaluator["output_dir"] = folder
            return
    # mmseg's IoUMetric calls label maps as the image files, whatever their folders, and takes the folder away.
    _add_import(cfg, "densevlm_mm.segmentation")
    writer = dict(type="mmseg.OpenVocabularyIoUMetric", output_dir=folder, format_only=True, train_vocabulary=None)
    cfg.test_evaluator = [*evaluators, writer]


def enable_synonyms(cfg: Config, synonyms: str) -> None:
    """Test by synonyms of the class names too, see :class:`SynonymTestLoop`.

    Args:
        cfg: The experiment, changed in place.
        synonyms: See :meth:`SynonymVocabulary.of`.

    Raises:
        FileNotFoundError: If it is a file that does not exist.
        ValueError: If the config has a test loop of its own kind.
    """
    if Path(synonyms).suffix.lower() in (".json", ".txt") and not Path(synonyms).is_file():
        raise FileNotFoundError(f"file of synonyms {synonyms} does not exist")
    loop = cfg.get("test_cfg") or {}
    if str(loop.get("type", "TestLoop")).rpartition(".")[2] not in ("TestLoop", "SynonymTestLoop"):
        raise ValueError(f"--synonyms tests by a SynonymTestLoop, but test_cfg.type of the config is {loop['type']}")
    cfg.test_cfg = ConfigDict({**loop, "type": "densevlm_mm.SynonymTestLoop", "synonyms": synonyms})
    _add_import(cfg, "densevlm_mm")


def enable_show(cfg: Config, show_dir: str | None, show: bool = False, wait_time: float = 2) -> None:
    """Draw predictions into a folder, or in a window.

    Args:
        cfg: The experiment, changed in place.
        show_dir: Folder of the pictures, named by the images' places in the data set.
        show: Whether to open a window.
        wait_time: Seconds that a shown picture stays.

    Raises:
        ValueError: If the config has no visualization hook.
    """
    hook = cfg.get("default_hooks", {}).get("visualization")
    if hook is None:
        raise ValueError(
            "--show and --show-dir need default_hooks.visualization in the config, which draws predictions."
        )
    scope, kind = cfg.get("default_scope"), component_class(cfg, HOOKS, hook)
    if scope in _PICTURE_HOOKS and kind is not None and kind.__module__.startswith(f"{scope}."):
        module, hook["type"] = _PICTURE_HOOKS[scope]
        _add_import(cfg, module)
        kind = component_class(cfg, HOOKS, hook)
    add_hook(cfg, "output_names", "densevlm_mm.OutputNameHook")
    hook["draw"] = True
    if show:
        hook.update(show=True, wait_time=wait_time)
    if show_dir is None:
        return
    if scope == "mmseg" and not _is_a(kind, PictureHook):  # a user's own hook, like mmseg's
        cfg.visualizer["save_dir"] = show_dir
    else:
        hook["test_out_dir"] = show_dir


def _add_import(cfg: Config, module: str) -> None:
    """Import a module, here and wherever the dumped config is read again."""
    import_module(module)
    imports = cfg.setdefault("custom_imports", ConfigDict(imports=[], allow_failed_imports=False))
    listed = [imports["imports"]] if isinstance(imports["imports"], str) else list(imports["imports"])
    imports["imports"] = [*listed, *(() if module in listed else (module,))]


def add_hook(cfg: Config, name: str, kind: str) -> ConfigDict:
    """Make sure that the experiment has a hook of ours.

    Args:
        cfg: The experiment, changed in place.
        name: What it is called among the default hooks, if it is not there.
        kind: Its type, with scope.

    Returns:
        Its config.
    """
    defaults = cfg.setdefault("default_hooks", ConfigDict())
    wanted = kind.rpartition(".")[2]
    for hook in [*defaults.values(), *(cfg.get("custom_hooks") or ())]:
        if hook and str(hook["type"]).rpartition(".")[2] == wanted:
            return hook
    _add_import(cfg, "densevlm_mm")
    defaults[name] = ConfigDict(type=kind)
    return defaults[name]


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


def _is_a(kind: type | None, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base)


def innermost_dataset(cfg: Config) -> ConfigDict:
    """The config of the test data set inside its wrappers."""
    dataset = cfg.test_dataloader.dataset
    while "dataset" in dataset:
        dataset = dataset["dataset"]
    return dataset
