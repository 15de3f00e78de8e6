from pathlib import Path

import pytest
from mmengine.config import Config

from densevlm_mm.apis import count_accumulation, enable_amp, enable_auto_scale_lr, load_experiment
from tests.fixtures.toy_run import toy_runner

CONFIG = "configs/tiny/densevlm.py"


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch) -> None:
    monkeypatch.chdir(Path(__file__).resolve().parents[2])


def test_options_and_work_dir() -> None:
    cfg = load_experiment(CONFIG, {"train_dataloader.batch_size": 8, "param_scheduler.0.end": 5, "work_dir": "a"}, "b")
    assert cfg.train_dataloader.batch_size == 8
    assert cfg.param_scheduler[0].end == 5
    assert cfg.work_dir == "b"
    assert load_experiment(CONFIG).work_dir == str(Path("work_dirs/densevlm"))


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("train_dataloder.batch_size", "Did you mean 'train_dataloader'"),
        ("trian_cfg", "Did you mean 'train_cfg'"),
        ("model.encodr.checkpoint", "Did you mean 'encoder'"),
        ("param_scheduler.7.end", "has 2 items"),
        ("randomness.seed.value", "randomness.seed is a value"),
    ],
)
def test_keys_that_lead_nowhere_are_named(key, hint) -> None:
    with pytest.raises(KeyError) as error:
        load_experiment(CONFIG, {key: 1})
    assert hint in error.value.args[0]
    assert key in error.value.args[0]


def test_new_arguments_of_existing_parts_are_allowed() -> None:
    cfg = load_experiment(CONFIG, {"train_dataloader.dataset.dataset.on_error": "skip"})
    assert cfg.train_dataloader.dataset.dataset.on_error == "skip"


def test_missing_config_names_similar_files() -> None:
    with pytest.raises(FileNotFoundError, match=r"densvlm\.py.*densevlm\.py"):
        load_experiment("configs/tiny/densvlm.py")


def test_amp_replaces_the_wrapper_once() -> None:
    cfg = load_experiment(CONFIG)
    enable_amp(cfg)
    assert cfg.optim_wrapper.type == "densevlm_mm.AutocastOptimWrapper"
    assert cfg.optim_wrapper.dtype in ("bfloat16", "float16")
    cfg.optim_wrapper.dtype = "float16"
    enable_amp(cfg)
    assert cfg.optim_wrapper.dtype == "float16"


def test_auto_scale_lr_needs_a_base() -> None:
    cfg = load_experiment(CONFIG)
    enable_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr.enable
    with pytest.raises(ValueError, match="base_batch_size"):
        enable_auto_scale_lr(Config(dict()))


@pytest.mark.parametrize(("enable", "expected"), [(True, 2e-2), (False, 1e-2)])
def test_a_scaled_rate_counts_accumulated_gradients(tmp_path, enable, expected) -> None:
    """2 images an iteration, 4 iterations a step, for a rate that is meant for 4 images."""
    wrapper = dict(optimizer=dict(type="AdamW", lr=1e-2), accumulative_counts=4)
    cfg = Config(dict(optim_wrapper=wrapper, auto_scale_lr=dict(enable=enable, base_batch_size=4)))
    count_accumulation(cfg)
    runner = toy_runner(
        tmp_path, iterations=4, optim_wrapper=cfg.optim_wrapper, auto_scale_lr=cfg.auto_scale_lr, param_scheduler=[]
    )
    runner.train()
    assert runner.optim_wrapper.get_lr()["lr"] == [pytest.approx(expected)]
