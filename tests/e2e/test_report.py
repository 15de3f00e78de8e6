"""The whole report on a small world, with a few steps of training: two CPU minutes, so not part of `make test`."""

import json

import pytest

pytestmark = pytest.mark.slow


def test_the_report_runs_once_and_repeats_nothing(run_tool, tmp_path) -> None:
    arguments = ["--quick", "--out", tmp_path, "--only", "before", "clipself", "row1", "row4", "teacher"]
    first = run_tool("reproduce_tiny.py", *arguments)
    assert "19 runs, 0 finished before" in first.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["failures"] == {}
    assert set(report["results"][0]) == {"seed", "before", "clipself", "row1", "row4", "teacher"}
    # An untrained student is as it was, a trained one is not.
    assert report["results"][0]["before"]["masks_s_top1"] < report["results"][0]["teacher"]["masks_s_top1"]
    assert (tmp_path / "index.html").is_file()

    (tmp_path / "runs/seed0/row1/train/iter_4.pth").unlink()
    again = run_tool("reproduce_tiny.py", *arguments)
    assert "runs/seed0/clipself/train" in again.stdout
    lines = {line.split()[2]: line for line in again.stdout.splitlines() if line.startswith("[")}
    assert "finished before" in lines["runs/seed0/clipself/train"]
    assert "finished before" not in lines["runs/seed0/row1/train"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "row5"], "no experiment 'row5'"),
        (["--seeds", "1", "1"], "--seeds 1 1"),
        (["--jobs", "0"], "--jobs 0"),
    ],
)
def test_wrong_arguments_stop_before_anything_runs(run_tool, tmp_path, arguments, message) -> None:
    result = run_tool("reproduce_tiny.py", "--out", tmp_path / "out", *arguments, check=False)
    assert result.returncode != 0
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
