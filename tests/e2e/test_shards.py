"""DenseVLM on tar shards: resuming sees what the whole run saw, and the teacher cache knows members."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from densevlm_mm.apis import build_runner, load_experiment
from densevlm_mm.datasets import UnlabeledImageDataset
from densevlm_mm.datasets.shards import pack_images
from densevlm_mm.registry import HOOKS

ROOT = Path(__file__).resolve().parents[2]


@HOOKS.register_module(force=True)
class SeenImagesHook(Hook):
    """Write down the images of every iteration, a file for each process."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        with open(Path(runner.work_dir) / f"seen_{get_rank()}.txt", "a") as file:
            file.write(" ".join(sample.img_id for sample in data_batch["data_samples"]) + "\n")


def seen(work_dir: Path) -> list[list[str]]:
    """The images of every iteration, of all processes together."""
    files = [path.read_text().splitlines() for path in work_dir.glob("seen_*.txt")]
    return [sorted(" ".join(lines).split()) for lines in zip(*files, strict=True)]


def weights(work_dir: Path) -> dict[str, torch.Tensor]:
    return torch.load(work_dir / "iter_6.pth", weights_only=True)["state_dict"]


def are_equal(first: Path, second: Path) -> bool:
    ours, theirs = weights(first), weights(second)
    return all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.fixture(scope="module")
def shards(tiny_world: Path, tmp_path_factory) -> Path:
    """The 32 training images in five shards."""
    folder = tmp_path_factory.mktemp("shards")
    assert pack_images(UnlabeledImageDataset(str(tiny_world / "train")), folder, 7) == (5, 32)
    return folder


@pytest.fixture
def experiment(shards: Path, tmp_path: Path, monkeypatch) -> Callable[..., Config]:
    """Two epochs of three iterations of eight images."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LOCAL_RANK", "0")

    def load(name: str, processes: int = 1, num_workers: int = 0, resume: Path | None = None, **options) -> Config:
        settings = {
            "train_dataloader.dataset.dataset.data_root": str(shards),
            "train_dataloader.dataset.dataset.source": "shards.json",
            "train_dataloader.dataset.dataset.shards": "shard_{000000..000003}.tar",
            "train_dataloader.sampler.num_streams": 2,
            "train_dataloader.batch_size": 8 // processes,
            "train_dataloader.num_workers": num_workers,
            "train_dataloader.persistent_workers": num_workers > 0,
            "param_scheduler.0.end": 1,
            "train_cfg.max_epochs": 2,
            "default_hooks.checkpoint.interval": 1,
            "default_hooks.checkpoint.max_keep_ckpts": -1,
            **options,
        }
        cfg = load_experiment("configs/tiny/densevlm_shards.py", settings, str(tmp_path / name))
        cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        cfg.custom_hooks = [*cfg.get("custom_hooks", []), dict(type="SeenImagesHook")]
        cfg.experiment_name = f"{tmp_path.name}_{name}"
        cfg.launcher = "pytorch" if processes > 1 else "none"
        if resume is not None:
            cfg.update(resume=True, load_from=str(resume))
        return cfg

    return load


def test_a_resumed_run_sees_the_rest_of_the_epoch_with_other_workers_and_processes(
    experiment, in_two_processes, tmp_path
) -> None:
    build_runner(experiment("whole")).train()
    images = seen(tmp_path / "whole")
    for epoch in (images[:3], images[3:]):
        assert len(set(chain(*epoch))) == 24
    assert images[:3] != images[3:]

    checkpoint = tmp_path / "whole" / "iter_2.pth"
    build_runner(experiment("resumed", num_workers=2, resume=checkpoint)).train()
    assert seen(tmp_path / "resumed") == images[2:]
    assert are_equal(tmp_path / "resumed", tmp_path / "whole")

    two = experiment("two", processes=2)
    in_two_processes(lambda rank: build_runner(two).train() and None)
    assert seen(tmp_path / "two") == images
    cfgs = [
        experiment("two_resumed", processes=2, num_workers=2, resume=tmp_path / "two" / "iter_4.pth"),
        experiment("one_resumed_by_two", processes=2, num_workers=1, resume=checkpoint),
    ]
    (tmp_path / "store").unlink()
    in_two_processes(lambda rank: [build_runner(cfg).train() and None for cfg in cfgs])
    assert seen(tmp_path / "two_resumed") == images[4:]
    assert are_equal(tmp_path / "two_resumed", tmp_path / "two")
    assert seen(tmp_path / "one_resumed_by_two") == images[2:]


def test_other_shards_or_streams_are_refused(experiment, tmp_path) -> None:
    build_runner(experiment("whole", **{"train_cfg.max_epochs": 1})).train()
    checkpoint = tmp_path / "whole" / "iter_2.pth"
    for number, changes in enumerate(
        (
            {"train_dataloader.sampler.num_streams": 3},
            {"train_dataloader.dataset.dataset.shards": "shard_{000003,{000000..000002}}.tar"},
        )
    ):
        runner = build_runner(experiment(f"other_{number}", resume=checkpoint, **changes))
        with pytest.raises(ValueError, match=r"its sampler was ShardSampler\(.*streams, shards"):
            runner.train()


def test_the_teacher_cache_keeps_members_of_shards(experiment, tmp_path) -> None:
    build_runner(experiment("without")).train()
    cache = {"default_hooks.teacher.cache": dict(path=str(tmp_path / "cache"))}
    for name in ("empty", "filled"):
        build_runner(experiment(name, **cache)).train()
        assert are_equal(tmp_path / name, tmp_path / "without")
    (log,) = (tmp_path / "filled").glob("*/*.log")
    assert "teacher: 0 images, cache: 24 images" in log.read_text()
    assert "the teacher is built" not in log.read_text()
