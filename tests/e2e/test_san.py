"""SAN on a small TinyScenes world through the tools."""

import re

import pytest
import torch

CONFIG = "configs/tiny/san_original.py"
KEEP_ALL = "default_hooks.checkpoint.max_keep_ckpts=-1"


@pytest.fixture
def options(small_data_options) -> list[str]:
    """10 iterations of 4 images, across the end of the first epoch."""
    return [*small_data_options, "train_cfg.max_iters=10", "train_cfg.val_interval=10", KEEP_ALL]


def test_trains_resumes_exactly_and_evaluates(run_tool, options, name_list, tmp_path) -> None:
    run_tool("train.py", CONFIG, "--work-dir", tmp_path, "--cfg-options", *options)
    resume = ["--resume", tmp_path / "iter_6.pth", "--work-dir", tmp_path / "resumed"]
    resumed = run_tool("train.py", CONFIG, *resume, "--cfg-options", *options)
    assert "Iter(train) [ 7/10]" in resumed.stdout + resumed.stderr
    assert "Iter(train) [ 6/10]" not in resumed.stdout + resumed.stderr
    whole, resumed = (torch.load(path / "iter_10.pth", weights_only=True) for path in (tmp_path, tmp_path / "resumed"))
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name

    arguments = [CONFIG, tmp_path / "iter_10.pth", "--work-dir", tmp_path, "--show-dir", tmp_path / "shown"]
    maps = f"test_evaluator.output_dir={tmp_path / 'maps'}"
    names = f"model.test_class_embeddings.vocabulary={name_list('tiny_scenes')}"
    tested = run_tool("test.py", *arguments, "--cfg-options", *options, maps, names)
    log = tested.stdout + tested.stderr
    for metric in ("mIoU", "mIoU_seen", "mIoU_unseen"):
        assert re.search(rf"{metric}: [\d.]+", log), metric
    assert len(list((tmp_path / "maps").iterdir())) == 7


def test_two_processes_train_and_evaluate_alike(run_tool, options, tmp_path) -> None:
    options = [*options, "train_cfg.max_iters=3", "train_cfg.val_interval=3"]
    trained = run_tool("train.py", CONFIG, "--work-dir", tmp_path, "--cfg-options", *options, processes=2)
    figures = re.findall(r"mIoU_seen: ([\d.]+)", trained.stdout + trained.stderr)
    tested = run_tool("test.py", CONFIG, tmp_path / "iter_3.pth", "--work-dir", tmp_path, "--cfg-options", *options)
    assert figures
    assert figures[-1:] == re.findall(r"mIoU_seen: ([\d.]+)", tested.stdout + tested.stderr)[-1:]
