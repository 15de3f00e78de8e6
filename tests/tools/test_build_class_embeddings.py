import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from densevlm_mm.models.text import ClassEmbeddings, build_class_embeddings

ROOT = Path(__file__).parents[2]
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 2, "head_width": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "tools/build_class_embeddings.py", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def model(tmp_path: Path) -> CLIP:
    torch.manual_seed(0)
    model = CLIP(**CONFIG).eval()
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, tmp_path / "tiny.safetensors")
    (tmp_path / "tiny.json").write_text(json.dumps(CONFIG))
    return model


def test_the_file_holds_what_was_asked_for(model: CLIP, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("cat, kitty\ndog\n")
    out = tmp_path / "out.safetensors"
    options = ["--templates", "vild14", "--normalization", "prompt", "--synonyms", "first"]
    options += ["--extra-class", "background", "--num-things", "1", "--batch-size", "5", "--device", "cpu"]
    done = run(
        str(names), "--model", str(tmp_path / "tiny.json"), "--checkpoint", str(tmp_path / "tiny.safetensors"),
        "--out", str(out), *options,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "K = 3 classes, 1 things" in done.stdout
    assert "D = 24" in done.stdout
    made = ClassEmbeddings.load(out)
    assert made.classes == ("cat, kitty", "dog", "background")
    assert made.thing_mask.tolist() == [True, False, False]
    assert (made.templates, made.normalization, made.synonyms) == ("vild14", "prompt", "first")
    names.write_text("cat\ndog\nbackground\n")
    expected = build_class_embeddings(
        names, CONFIG, clip_model=model, templates="vild14", normalization="prompt"
    ).embeddings
    torch.testing.assert_close(made.embeddings, expected, atol=1e-6, rtol=0)


def test_help_shows_an_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["build_class_embeddings.py", "--help"])
    with pytest.raises(SystemExit) as end:  # in this process: starting another one takes ten seconds
        runpy.run_path(str(ROOT / "tools" / "build_class_embeddings.py"), run_name="__main__")
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "python tools/build_class_embeddings.py set_316 --model EVA02-B-16" in text
    assert "coco_panoptic_133" in text
