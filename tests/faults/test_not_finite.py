"""A run whose numbers explode, of each kind: it stops before the step, and what it keeps is finite."""

import pytest
import torch

from tests.faults.conftest import load

pytestmark = pytest.mark.faults

EXPLODE = [
    "optim_wrapper.optimizer.lr=1e30",
    "param_scheduler=[]",
    "default_hooks.checkpoint.interval=1",
    "default_hooks.logger.interval=1",
    "train_dataloader.batch_size=2",
    "train_dataloader.num_workers=0",
    "train_dataloader.persistent_workers=False",
]


@pytest.mark.parametrize("config", ["densevlm", "fvit_original", "cat_seg_original"])
@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_not_finite_is_trained_or_kept(train, tiny_world, tmp_path, config, processes) -> None:
    loaders = ("train_dataloader.dataset.dataset", "val_dataloader.dataset")
    options = [*EXPLODE, *(f"{loader}.data_root={tiny_world}" for loader in loaders)]
    if config == "fvit_original":
        options.append(f"val_evaluator.ann_file={tiny_world}/annotations/instances_val.json")
    work_dir = tmp_path / "run"
    run = train(f"configs/tiny/{config}.py", "--work-dir", work_dir, options=options, processes=processes)
    assert run.end() != 0
    line = next(line for line in run.log.splitlines() if line.startswith("tools/train.py:"))
    assert "iteration" in line
    assert "a learning rate of 1e+30 for AdamW is far above what trains" in run.log
    for path in work_dir.glob("*.pth"):
        checkpoint = load(path)
        assert all(torch.isfinite(value).all() for value in checkpoint["state_dict"].values())
    for path in work_dir.glob("not_finite/*.pt"):
        assert load(path)["images"]
