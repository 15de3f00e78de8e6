import runpy
import sys
from pathlib import Path

import pytest

from densevlm_mm import optional_packages

ROOT = Path(__file__).parents[2]


def test_a_tracker_that_is_not_installed_stops_before_anything_is_written(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(optional_packages, "find_spec", lambda name: None)
    arguments = ["configs/tiny/densevlm.py", "--work-dir", str(tmp_path / "run"), "--log-to", "wandb"]
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "tools/train.py"), run_name="__main__")
    assert end.value.code == "tools/train.py: --log-to wandb needs wandb: pip install 'densevlm_mm[loggers]'"
    assert not (tmp_path / "run").exists()
