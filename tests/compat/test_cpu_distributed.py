import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch.distributed as dist
from mmengine.config import Config
from mmengine.device import get_device

from densevlm_mm.compat.cpu_distributed import adapt_config_to_cpu, init_cpu_process_group

pytestmark = pytest.mark.skipif(get_device() != "cpu", reason="both functions do nothing where there is a GPU")

SCRIPT = """
import json
import sys

import densevlm_mm.engine.optim_wrappers  # noqa: F401
import torch
import torch.distributed as dist
from mmcv.cnn import build_norm_layer
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner

from densevlm_mm.compat.cpu_distributed import adapt_config_to_cpu, init_cpu_process_group


@MODELS.register_module()
class Toy(BaseModel):
    def __init__(self, norm_cfg):
        super().__init__()
        self.linear = torch.nn.Linear(3, 4)
        self.norm = build_norm_layer(norm_cfg, 4)[1]

    def forward(self, inputs, mode="tensor"):
        out = self.norm(self.linear(torch.stack(inputs))[..., None, None])
        return {"loss": (out - 1).abs().mean()} if mode == "loss" else list(out.flatten(1).sum(1))


@DATASETS.register_module()
class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 9

    def __getitem__(self, index):
        return {"inputs": torch.tensor([index, index**2 / 10, 1.0])}


@METRICS.register_module()
class Count(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.extend(data_samples)

    def compute_metrics(self, results):
        return {"count": len(results)}


loader = dict(dataset=dict(type="Numbers"), batch_size=2, num_workers=0)
cfg = Config(
    dict(
        model=dict(type="Toy", norm_cfg=dict(type="SyncBN", requires_grad=True)),
        work_dir=sys.argv[1],
        launcher="pytorch",
        train_dataloader=dict(**loader, drop_last=True, sampler=dict(type="DefaultSampler", shuffle=True)),
        val_dataloader=dict(**loader, sampler=dict(type="DefaultSampler", shuffle=False)),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        val_cfg=dict(),
        val_evaluator=dict(type="Count"),
        optim_wrapper=dict(
            type="densevlm_mm.AutocastOptimWrapper", accumulative_counts=2, optimizer=dict(type="SGD", lr=0.1)
        ),
        randomness=dict(seed=0),
        log_level="ERROR",
    )
)
init_cpu_process_group(cfg.launcher)
adapt_config_to_cpu(cfg)
runner = Runner.from_cfg(cfg)
runner.train()
metrics = runner.val()
means = [None, None]
dist.all_gather_object(means, [p.detach().double().sum().item() for p in runner.model.parameters()])
running = [None, None]
dist.all_gather_object(running, runner.model.module.norm.running_mean.tolist())
if dist.get_rank() == 0:
    norm = type(runner.model.module.norm).__name__
    report = dict(means=means, running=running, backend=dist.get_backend(), norm=norm, metrics=metrics)
    with open(sys.argv[1] + "/report.json", "w") as file:
        json.dump(report, file)
"""


def test_two_processes_train_and_validate_without_a_gpu(tmp_path: Path) -> None:
    script = tmp_path / "train_toy.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    repository = str(Path(__file__).parents[2])
    completed = subprocess.run(
        [*command, str(script), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": repository, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr[-3000:]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["backend"] == "gloo"
    assert report["norm"] == "BatchNorm2d"
    assert report["metrics"] == {"count": 9}
    assert report["means"][0] == report["means"][1]  # gradients were averaged
    assert report["running"][0] != report["running"][1]  # although the processes saw different samples


def test_no_launcher_starts_no_process_group() -> None:
    init_cpu_process_group("none")
    assert not dist.is_initialized()


def test_other_launchers_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'slurm'.*torchrun"):
        init_cpu_process_group("slurm")


def test_missing_environment_of_torchrun_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(ValueError, match="MASTER_ADDR"):
        init_cpu_process_group("pytorch")


def test_sync_norms_are_replaced_at_any_depth() -> None:
    norm = dict(type="SyncBN", eps=1e-3)
    cfg = Config(
        dict(
            model=dict(
                backbone=dict(type="ResNet", norm_cfg=dict(norm)),
                heads=[dict(norm_cfg=dict(type="mmcv.MMSyncBN")), dict(norm_cfg=dict(type="GN"))],
            ),
            sync_bn="torch",
        )
    )
    adapt_config_to_cpu(cfg)
    assert cfg.model.backbone.norm_cfg == dict(type="BN", eps=1e-3)
    assert cfg.model.backbone.type == "ResNet"
    assert [head.norm_cfg.type for head in cfg.model.heads] == ["BN", "GN"]
    assert cfg.sync_bn is None


def test_wrapper_is_added_with_the_configs_find_unused_parameters() -> None:
    cfg = Config(dict(find_unused_parameters=True))
    adapt_config_to_cpu(cfg)
    assert cfg.model_wrapper_cfg.device_ids is None
    assert cfg.model_wrapper_cfg.find_unused_parameters is True


def test_own_wrapper_keeps_its_arguments() -> None:
    cfg = Config(dict(model_wrapper_cfg=dict(static_graph=True, device_ids=[0])))
    adapt_config_to_cpu(cfg)
    assert dict(cfg.model_wrapper_cfg) == dict(static_graph=True, device_ids=None)


def test_wrapper_that_takes_no_devices_is_untouched() -> None:
    cfg = Config(dict(model_wrapper_cfg=dict(type="MMFullyShardedDataParallel")))
    adapt_config_to_cpu(cfg)
    assert dict(cfg.model_wrapper_cfg) == dict(type="MMFullyShardedDataParallel")
