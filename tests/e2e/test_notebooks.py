"""The notebooks of docs/ run from the first cell to the last, and are kept without outputs."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


def run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """What a notebook prints, and the formats of its other outputs."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(folder))
    notebook = nbformat.read(ROOT / "docs/notebooks" / f"{name}.ipynb", as_version=4)
    NotebookClient(notebook, timeout=500, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    return printed, [kind for output in outputs for kind in output.get("data", ())]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_not_kept(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert not [cell for cell in cells if cell.outputs or cell.execution_count is not None]


def test_the_student_is_seen_to_be_biased(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, kinds = run("what_a_dense_clip_sees", tmp_path, monkeypatch)
    shares = {who: int(share) for who, share in re.findall(r"(\w+): (\d+) % of \d+ cells", printed)}
    assert shares["teacher"] < 20 < 60 < shares["student"]
    assert kinds.count("image/png") == 4


def test_training_lowers_the_bias_and_the_detector_predicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    printed, kinds = run("train_and_swap", tmp_path, monkeypatch)
    before, after = map(float, re.search(r"region/foreground_bias +([\d.]+) +([\d.]+)", printed).groups())
    assert after < before - 20
    assert kinds.count("image/png") == 1
