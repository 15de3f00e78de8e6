"""Sending figures to experiment trackers, beside the log files and TensorBoard that every runtime writes."""

import os
from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config, ConfigDict

from densevlm_mm.optional_packages import require_packages

TRACKERS = ("mlflow", "wandb")
_PROJECT = "densevlm_mm"


def enable_trackers(cfg: Config, trackers: Sequence[str]) -> None:
    """Log to Weights & Biases or MLflow too, through mmengine's visualization backends.

    Nothing is sent to a server unless its own environment variables ask for it: ``WANDB_MODE=online``, and
    ``MLFLOW_TRACKING_URI``. Without them W&B writes offline runs, for ``wandb sync``, and MLflow the database
    ``mlflow.db`` in the work directory, for ``mlflow ui``.

    Args:
        cfg: The experiment, changed in place; ``work_dir`` is set.
        trackers: Names out of ``TRACKERS``.

    Raises:
        ValueError: If a package is missing.
    """
    makers = {"wandb": _wandb_backend, "mlflow": _mlflow_backend}
    for tracker in dict.fromkeys(trackers):
        backend = makers[tracker](cfg)
        if cfg.get("visualizer") is None:
            cfg.visualizer = ConfigDict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
        backends = list(cfg.visualizer.get("vis_backends") or ())
        if all(str(each["type"]).rpartition(".")[2] != backend["type"].rpartition(".")[2] for each in backends):
            cfg.visualizer.vis_backends = [*backends, backend]


def _wandb_backend(cfg: Config) -> dict:
    require_packages("--log-to wandb", ("wandb",), "loggers")
    mode = os.environ.get("WANDB_MODE", "offline")
    return dict(
        type=f"{_PROJECT}.FiguresWandbVisBackend",
        init_kwargs=dict(project=os.environ.get("WANDB_PROJECT", _PROJECT), name=Path(cfg.work_dir).name, mode=mode),
    )


def _mlflow_backend(cfg: Config) -> dict:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    # MLflow 3.7 and later refuse mmengine's default, a folder of files.
    require_packages("--log-to mlflow", ("mlflow",) if uri else ("mlflow", "sqlalchemy"), "loggers")
    folder = Path(cfg.work_dir).absolute()
    # Without a server the work directory's own files are not copied: they would be, with the copies, at every resume.
    local = {} if uri else dict(artifact_location=(folder / "mlflow_artifacts").as_uri(), artifact_suffix=())
    return dict(
        type="MLflowVisBackend",
        exp_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT),
        run_name=folder.name,
        tracking_uri=uri or f"sqlite:///{folder / 'mlflow.db'}",
        **local,
    )
