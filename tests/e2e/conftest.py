"""A small TinyScenes world, and the tools as a user runs them."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config

from densevlm_mm.apis import build_runner, claim_work_dir, load_experiment
from densevlm_mm.tiny_scenes import generate_tiny_scenes
from densevlm_mm.vocabulary import Vocabulary
from tests.fixtures.short_runs import Run
from tests.fixtures.tool_processes import run_apart

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny_scenes")
    generate_tiny_scenes(root, num_train=32, num_val=7, seed=0)
    return root


@pytest.fixture(scope="session")
def run_tool() -> Callable[..., subprocess.CompletedProcess]:
    def run(tool: str, *arguments: object, processes: int = 1, check: bool = True) -> subprocess.CompletedProcess:
        words = [f"tools/{tool}", *map(str, arguments)]
        result = _run_alone(words) if processes == 1 else _run_several(words, processes)
        if check and result.returncode != 0:
            pytest.fail(f"{result.args}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")
        return result

    return run


def _run_alone(words: list[str]) -> subprocess.CompletedProcess:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        status = run_apart(words, ROOT, out, err)
        return subprocess.CompletedProcess(words, status, *(path.read_text() for path in (out, err)))


def _run_several(words: list[str], processes: int) -> subprocess.CompletedProcess:
    launcher = ["torch.distributed.run", "--nproc_per_node", str(processes), "--master_port", free_port()]
    # Flags of the tool go before --cfg-options, which takes everything that follows.
    command = [sys.executable, "-m", *launcher, words[0], "--launcher", "pytorch", *words[1:]]
    environment = dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def name_list() -> Callable[[str], str]:
    """The names of a packaged vocabulary as a list in a ``--cfg-options`` value."""
    return lambda vocabulary: "[" + ",".join(repr(name) for name in Vocabulary.load(vocabulary).classes) + "]"


def free_port() -> str:
    """A port of this machine that nothing listens on."""

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return str(s.getsockname()[1])


@pytest.fixture
def three_iterations(tiny_world: Path) -> dict[str, object]:
    """Settings for ``load_experiment`` that put configs/tiny on the small world: three iterations of four images."""
    return {
        "train_dataloader.dataset.dataset.data_root": str(tiny_world),
        "train_dataloader.dataset.dataset.indices": 12,
        "train_dataloader.batch_size": 4,
        "train_dataloader.num_workers": 0,
        "train_dataloader.persistent_workers": False,
        "param_scheduler.0.end": 1,
    }


@pytest.fixture(scope="session")
def small_data_options(tiny_world: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """``--cfg-options`` that put configs/tiny on the small world: 8 iterations of 4 images an epoch."""
    return [
        f"train_dataloader.dataset.dataset.data_root={tiny_world}",
        f"val_dataloader.dataset.data_root={tiny_world}",
        f"test_dataloader.dataset.data_root={tiny_world}",
        "train_dataloader.batch_size=4",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "val_dataloader.num_workers=0",
        "test_dataloader.num_workers=0",
        "val_dataloader.batch_size=2",
        "test_dataloader.batch_size=2",
        "param_scheduler.0.end=2",
        "default_hooks.logger.interval=1",
        "default_hooks.checkpoint.interval=3",
    ]


@pytest.fixture
def experiment(three_iterations: dict[str, object], tmp_path: Path, monkeypatch) -> Callable[..., Config]:
    """A tiny config on twelve images, with the cache in a folder of the test's."""
    monkeypatch.chdir(ROOT)

    def load(name: str, work_dir: str = "work", **options: object) -> Config:
        settings = {
            **three_iterations,
            "train_cfg.max_epochs": 2,
            "default_hooks.logger.interval": 1,
            "default_hooks.checkpoint.interval": 1,
            "default_hooks.checkpoint.max_keep_ckpts": -1,
            **options,
        }
        cfg = load_experiment(f"configs/tiny/{name}.py", settings, str(tmp_path / work_dir))
        cfg.visualizer.vis_backends = [dict(type="LocalVisBackend")]
        cfg.update(val_cfg=None, val_dataloader=None, val_evaluator=None)
        cfg.experiment_name = f"{tmp_path.name}_{work_dir}"
        if "cache" in cfg.default_hooks.teacher:
            cfg.default_hooks.teacher.cache.path = str(tmp_path / "cache")
        return cfg

    return load


@pytest.fixture
def train(experiment) -> Callable[..., Run]:
    """Train for two epochs of three iterations."""

    def run(name: str, work_dir: str, resume: Path | None = None, last: int = 6, **options: object) -> Run:
        cfg = experiment(name, work_dir, **options)
        claim_work_dir(cfg, None if resume is None else str(resume))
        build_runner(cfg).train()
        return Run(Path(cfg.work_dir), last)

    return run
