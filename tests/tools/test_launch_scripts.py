"""What the scripts for clusters ask Slurm for."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ["--gres=gpu:8", "--ntasks=8", "--ntasks-per-node=8"]),
        (dict(NNODES="4"), ["--nodes=4", "--gres=gpu:8", "--ntasks=32", "--ntasks-per-node=8"]),
        (dict(NNODES="2", GPUS_PER_NODE="4"), ["--nodes=2", "--gres=gpu:4", "--ntasks=8", "--ntasks-per-node=4"]),
    ],
)
def test_slurm_is_asked_for_all_processes_of_all_nodes(tmp_path, environment, expected) -> None:
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **environment}
    command = [ROOT / "tools/slurm_train.sh", "gpu", "job", "my config.py", "--amp"]
    asked = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [flag for flag in asked if flag.startswith(("--nodes", "--gres", "--ntasks"))] == expected
    assert asked[-4:] == ["my config.py", "--amp", "--launcher", "slurm"]
