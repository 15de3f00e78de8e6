from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.visualization import Visualizer

from densevlm_mm import optional_packages
from densevlm_mm.apis import enable_trackers

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ("tiny/densevlm.py", "tiny/fvit_densevlm.py", "tiny/san_densevlm.py")


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_PROJECT", "MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


def experiment(config: str, work_dir: Path) -> Config:
    cfg = Config.fromfile(str(ROOT / "configs" / config))
    cfg.work_dir = str(work_dir)
    return cfg


def log(cfg: Config, name: str) -> None:
    """What a Runner does with its visualizer."""
    visualizer = Visualizer.get_instance(
        name, vis_backends=cfg.visualizer.vis_backends, save_dir=f"{cfg.work_dir}/time"
    )
    visualizer.add_config(cfg)
    visualizer.add_scalars({"loss": 0.5}, step=7)
    visualizer.close()


@pytest.mark.parametrize("config", CONFIGS)
def test_every_runtime_writes_tensorboard_and_takes_the_trackers(tmp_path, config) -> None:
    cfg = experiment(config, tmp_path)
    enable_trackers(cfg, ["wandb", "mlflow", "wandb"])
    enable_trackers(cfg, ["wandb"])
    assert [each["type"] for each in cfg.visualizer.vis_backends] == [
        "LocalVisBackend", "TensorboardVisBackend", "densevlm_mm.FiguresWandbVisBackend", "MLflowVisBackend"
    ]  # fmt: skip


def test_mlflow_writes_a_database_without_a_server(tmp_path) -> None:
    import mlflow

    cfg = experiment("tiny/densevlm.py", tmp_path / "run7")
    enable_trackers(cfg, ["mlflow"])
    log(cfg, "mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'run7' / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("densevlm_mm").experiment_id])
    assert run.info.run_name == "run7"
    assert run.data.metrics == {"loss": 0.5}
    assert run.data.params["optim_wrapper.optimizer.lr"] == "0.0006"
    assert [path.name for path in (tmp_path / "run7" / "mlflow_artifacts").rglob("*") if path.is_file()] == [
        "config.py"
    ]


def test_wandb_writes_an_offline_run_and_copies_no_source_code(tmp_path, monkeypatch) -> None:
    (tmp_path / "secret.py").write_text("password = 1")
    monkeypatch.chdir(tmp_path)
    cfg = experiment("tiny/densevlm.py", tmp_path / "run7")
    enable_trackers(cfg, ["wandb"])
    log(cfg, "wandb")
    (folder,) = tmp_path.glob("run7/time/vis_data/wandb/offline-run-*")
    stored = next(folder.glob("*.wandb")).read_bytes()
    assert b"DecoupledAlignmentLoss" in stored
    assert b"secret.py" not in stored


def test_a_server_is_used_when_its_variables_say_so(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracker:5000")
    monkeypatch.setenv("WANDB_MODE", "online")
    cfg = experiment("tiny/densevlm.py", tmp_path)
    enable_trackers(cfg, ["wandb", "mlflow"])
    wandb, mlflow = cfg.visualizer.vis_backends[-2:]
    assert wandb["init_kwargs"]["mode"] == "online"
    assert mlflow["tracking_uri"] == "http://tracker:5000"
    assert "artifact_location" not in mlflow


@pytest.mark.parametrize("tracker", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line_that_names_the_fix(tmp_path, monkeypatch, tracker) -> None:
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=rf"--log-to {tracker} needs {tracker}.*pip install 'densevlm_mm\[loggers\]'"):
        enable_trackers(experiment("tiny/densevlm.py", tmp_path), [tracker])
