"""The config of a trained detector or segmentor, and what of it predicts on images without annotations."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from mmcv.transforms import LoadAnnotations, LoadImageFromFile
from mmengine.config import Config
from mmengine.registry import DATASETS, TRANSFORMS

from densevlm_mm.apis import load_experiment, use_checkpoint
from densevlm_mm.apis.components import component_class
from densevlm_mm.apis.outputs import innermost_dataset


def prediction_pipeline(cfg: Config) -> list[Any]:
    """The transforms of a config's test data, without those that read annotations."""
    steps = []
    for step in innermost_dataset(cfg).pipeline:
        kind = component_class(cfg, TRANSFORMS, step)
        if isinstance(kind, type) and issubclass(kind, LoadAnnotations):
            continue
        if kind is LoadImageFromFile and set(step) <= {"type", "backend_args"}:
            # ours says what is wrong with an image, and that it is truncated
            step = {**step, "type": "densevlm_mm.LoadImage"}
        steps.append(step)
    return steps


def class_metainfo(cfg: Config) -> dict[str, Any]:
    """Classes of the data set that the config tests on, for models whose predictions carry no names."""
    dataset = innermost_dataset(cfg)
    known = {**getattr(component_class(cfg, DATASETS, dataset), "METAINFO", {}), **(dataset.get("metainfo") or {})}
    return {key: known[key] for key in ("classes", "palette", "novel_classes") if known.get(key) is not None}


def is_config(model: Any) -> bool:
    """Whether this is a config or the path of one, and no weights."""
    return isinstance(model, Config) or (isinstance(model, str | Path) and Path(model).suffix == ".py")


def trained_config(model: Any, weights: Any, cfg_options: dict | None, for_encoder: dict[str, Any]) -> Config:
    """The config of a detector or segmentor, with its checkpoint as ``load_from``.

    Args:
        model: Config or its path.
        weights: Checkpoint.
        cfg_options: Dotted config keys to values.
        for_encoder: Options that only an encoder alone has.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If an option is for an encoder alone, or model and weights are not what they should be.
    """
    if given := sorted(key for key, value in for_encoder.items() if value is not None):
        raise ValueError(
            f"{', '.join(given)}: only for an encoder alone; a detector's or segmentor's are in its config"
        )
    if not is_config(model):
        raise ValueError(f"{model} is no config file (.py); encoder weights are given without a checkpoint")
    if isinstance(model, Config):
        cfg = deepcopy(model)
        cfg.merge_from_dict(cfg_options or {})
    else:
        cfg = load_experiment(str(model), cfg_options)
    if cfg.get("default_scope") not in ("mmdet", "mmseg") or "test_dataloader" not in cfg:
        raise ValueError(f"{cfg.filename} is no detector's or segmentor's config with a test_dataloader.")
    if weights is None:
        raise ValueError(f"{cfg.filename} is a config without the checkpoint of its model: give both")
    use_checkpoint(cfg, str(weights))
    return cfg
