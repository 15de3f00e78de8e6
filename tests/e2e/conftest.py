"""A small TinyScenes world, and the tools as a user runs them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from densevlm_mm.tiny_scenes import generate_tiny_scenes
from densevlm_mm.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny_scenes")
    generate_tiny_scenes(root, num_train=32, num_val=7, seed=0)
    return root


@pytest.fixture(scope="session")
def run_tool() -> Callable[..., subprocess.CompletedProcess]:
    def run(tool: str, *arguments: object, processes: int = 1, check: bool = True) -> subprocess.CompletedProcess:
        launcher = [sys.executable]
        flags: list[str] = []
        if processes > 1:
            launcher += [
                "-m",
                "torch.distributed.run",
                "--nproc_per_node",
                str(processes),
                "--master_port",
                _free_port(),
            ]
            flags = ["--launcher", "pytorch"]
        command = [*launcher, f"tools/{tool}", *map(str, arguments)]
        # Flags of the tool go before --cfg-options, which takes everything that follows.
        if flags:
            command[len(launcher) + 2 : len(launcher) + 2] = flags
        environment = dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
        result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if check and result.returncode != 0:
            pytest.fail(f"{command}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")
        return result

    return run


@pytest.fixture(scope="session")
def name_list() -> Callable[[str], str]:
    """The names of a packaged vocabulary as a list in a ``--cfg-options`` value."""
    return lambda vocabulary: "[" + ",".join(repr(name) for name in Vocabulary.load(vocabulary).classes) + "]"


def _free_port() -> str:
    import socket

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
