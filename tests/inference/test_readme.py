"""What the README shows first is run as it stands there."""

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_lines_run_on_the_embedded_encoder(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (code,) = re.findall(r"five lines\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "densevlm_mm").symlink_to(ROOT / "densevlm_mm")
    (tmp_path / "data/tiny_scenes").mkdir(parents=True)
    (tmp_path / "data/tiny_scenes/val").symlink_to(photos)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert "sky" in capsys.readouterr().out
    assert Image.open("work_dirs/first_look.png").width > 640
