"""The benchmarks, on models of a second; a time is never a test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from densevlm_mm.models.encoders import DenseImageEncoder

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def plain_step(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools/benchmarks"))
    import plain_step

    return plain_step


def test_the_plain_tower_gives_our_map(plain_step, stock_model, images) -> None:
    """What is measured against ours computes the same."""
    encoder = DenseImageEncoder(clip_model=stock_model("eva02"))
    torch.testing.assert_close(
        plain_step.plain_dense(encoder, images(40, 40)), encoder.dense(images(40, 40)), atol=3e-6, rtol=0
    )


def test_parts_and_growth_are_printed(tmp_path) -> None:
    tiny = ["--student", "TinyScenes-S", "--teacher", "TinyScenes-T", "--size", "64", "--rounds", "1"]
    command = [sys.executable, "tools/benchmarks/pretrain_step.py", *tiny, "--dtype", "float32", "--regions", "4", "16"]
    environment = dict(os.environ, OMP_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert [(row["classes"], row["regions"]) for row in figures["growth"]] == [(316, 4), (316, 16)]
    assert figures["growth"][0]["step_grows_by"] == 0
    assert {"step_ms", "teacher_ms", "share_of_gemm_peak", "peak_memory_gb"} <= set(figures)
