"""Experiments from config files and command-line options."""

import difflib
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.logging import print_log

from densevlm_mm.apis.ignore_label import spread_ignore_index
from densevlm_mm.apis.work_dir import default_work_dir
from densevlm_mm.compat.cpu_distributed import adapt_config_to_cpu

# What mmengine's Runner.from_cfg and the OpenMMLab tools read beside the keys that a config happens to define.
_RUNNER_KEYS = set(
    """
    model work_dir train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr
    optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from
    resume launcher env_cfg log_processor log_level visualizer default_scope randomness experiment_name custom_imports
    runner_type tta_model tta_pipeline activation_checkpointing compile
    """.split()  # noqa: SIM905
)


def load_experiment(
    config: str, cfg_options: dict[str, Any] | None = None, work_dir: str | None = None, launcher: str = "none"
) -> Config:
    """Read a config file, apply options, and fit it to this machine.

    Args:
        config: Path of the config file.
        cfg_options: Dotted keys to values, as ``--cfg-options`` gives them.
        work_dir: Where logs and checkpoints go; default: the config's, else ``work_dirs/<name of the config>``.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.

    Raises:
        FileNotFoundError: If there is no such file; names similar ones.
        KeyError: If an option's key does not lead into the config.
        ValueError: If the ignored label of a segmentor's data set is contradicted, see :func:`spread_ignore_index`.
    """
    path = Path(config)
    if not path.is_file():
        raise FileNotFoundError(f"there is no config file {config}.{_similar_files(path)}")
    cfg = Config.fromfile(config)
    cfg.launcher = launcher
    if cfg_options:
        _check_options(cfg, cfg_options)
        cfg.merge_from_dict(cfg_options)
    if work_dir is not None:
        cfg.work_dir = work_dir
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(default_work_dir(path))
    if not torch.cuda.is_available():
        adapt_config_to_cpu(cfg)
    spread_ignore_index(cfg)
    return cfg


def enable_amp(cfg: Config) -> None:
    """Train in automatic mixed precision: bfloat16 where the device has it, else float16 with loss scaling."""
    wrapper = cfg.optim_wrapper
    if wrapper.get("type", "OptimWrapper").split(".")[-1] in ("AutocastOptimWrapper", "AmpOptimWrapper"):
        return
    wrapper.type = "densevlm_mm.AutocastOptimWrapper"
    has_bfloat16 = not torch.cuda.is_available() or torch.cuda.is_bf16_supported()
    wrapper.dtype = "bfloat16" if has_bfloat16 else "float16"


def enable_auto_scale_lr(cfg: Config) -> None:
    """Scale the learning rate linearly with the number of images of a step, see :func:`count_accumulation`.

    Raises:
        ValueError: If the config does not say which batch size its learning rate is for.
    """
    if "base_batch_size" not in cfg.get("auto_scale_lr", {}):
        raise ValueError(
            "--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in the config: the batch that lr is for."
        )
    cfg.auto_scale_lr.enable = True


def count_accumulation(cfg: Config) -> None:
    """Let a scaled learning rate count the images of all iterations of a step, which mmengine does not.

    mmengine divides the images of an iteration by ``auto_scale_lr.base_batch_size``: that becomes the number for one of
    the ``optim_wrapper.accumulative_counts`` iterations. Call it once, before the Runner is built.
    """
    count = cfg.optim_wrapper.get("accumulative_counts", 1)
    scaling = cfg.get("auto_scale_lr") or {}
    if count > 1 and scaling.get("enable") and "base_batch_size" in scaling:
        print_log(
            f"A step sees the images of {count} iterations: base_batch_size={scaling['base_batch_size']} counts as "
            f"{scaling['base_batch_size'] / count:g} images an iteration.",
            "current",
        )
        scaling["base_batch_size"] /= count


def _check_options(cfg: Config, options: dict[str, Any]) -> None:
    """A mistyped key would be added in silence: every step but the last one has to exist."""
    for dotted in options:
        node: Any = cfg
        steps = dotted.split(".")
        for depth, step in enumerate(steps):
            is_last = depth == len(steps) - 1
            if isinstance(node, list | tuple):
                if not step.isdigit() or int(step) >= len(node):
                    raise KeyError(
                        f"--cfg-options {dotted}: {'.'.join(steps[:depth])} has {len(node)} items, no {step!r}."
                    )
                node = node[int(step)]
                continue
            if not isinstance(node, dict | Config | ConfigDict):
                raise KeyError(f"--cfg-options {dotted}: {'.'.join(steps[:depth])} is a value, it has no {step!r}.")
            known = list(node.keys())
            if depth == 0:
                known += sorted(_RUNNER_KEYS)
            if step not in known and (not is_last or depth == 0):
                close = difflib.get_close_matches(step, known, n=1)
                hint = f" Did you mean {close[0]!r}?" if close else f" There are: {', '.join(map(str, known[:12]))}."
                raise KeyError(f"--cfg-options {dotted}: the config has no {'.'.join(steps[: depth + 1])!r}.{hint}")
            node = node.get(step, {})


def _similar_files(path: Path) -> str:
    candidates = {file.name: file for file in path.parent.glob("*.py")} if path.parent.is_dir() else {}
    close = difflib.get_close_matches(path.name, candidates, n=3, cutoff=0.4)
    return f" Near it: {', '.join(str(candidates[name]) for name in close)}." if close else ""
