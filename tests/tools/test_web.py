import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_served_until_it_is_ended_and_leaves_nothing_behind(tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason='the page needs gradio: pip install -e ".[web]"')
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    encoder = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
    command = [sys.executable, ROOT / "tools" / "web.py", "--encoder", ROOT / encoder, "--device", "cpu"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as page:
        assert page.stdout is not None
        try:
            found = re.fullmatch(
                r"the page is at (http://127\.0\.0\.1:\d+/) \(Ctrl-C ends it\)\n", page.stdout.readline()
            )
            assert found
            with urllib.request.urlopen(found[1]) as answer:
                text = answer.read().decode()
            assert "One encoder: **tiny_scenes_student**" in text
            assert not re.search(r"(src|href)=[\"']https?://(?!127\.0\.0\.1)", text)
            assert list(tmp_path.glob("densevlm_web_*"))
        finally:
            page.send_signal(signal.SIGTERM)
    assert page.returncode == 0
    assert not list(tmp_path.glob("densevlm_web_*"))
