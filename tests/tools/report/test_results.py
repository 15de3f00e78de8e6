import json
from pathlib import Path

import pytest

from report.experiments import EXPERIMENTS
from report.orderings import OUR_EXPECTATIONS, PAPER_ORDERINGS, QUESTIONS
from report.plan import Settings
from report.results import anonymous


def test_the_record_has_everything_and_is_json(settings: Settings, invented) -> None:
    record = json.loads(json.dumps(invented(settings).record()))
    assert record["seeds"] == [0, 1]
    groups = dict(paper_orderings=PAPER_ORDERINGS, our_expectations=OUR_EXPECTATIONS, questions=QUESTIONS)
    for key, orderings in groups.items():
        assert [finding["title"] for finding in record[key]] == [ordering.title for ordering in orderings]
    assert set(record["results"][0]) == {"seed", *(experiment.name for experiment in EXPERIMENTS)}
    # The teachers, which all seeds share, stand with the first seed alone.
    assert set(record["results"][0]) - set(record["results"][1]) == {"teacher", "teacher_raw"}
    assert all(run["command"].startswith("python tools/") for run in record["runs"])


def test_figures_of_whole_images_stand_beside_those_of_regions(settings: Settings, invented) -> None:
    metrics = invented(settings).results[1]["row4"]
    assert metrics["class_top1"] == pytest.approx(51.0)
    assert "masks_s_top1" in metrics


def test_what_did_not_finish_has_no_figures(settings: Settings, invented) -> None:
    report = invented(settings, lost=("runs/seed1/row4/test",))
    assert "row4" in report.results[0]
    assert "row4" not in report.results[1]
    assert len(report.summary["row4"]["masks_s_top1"].values) == 1
    assert "class_top1" not in report.results[1]["before"]


def test_folders_of_this_machine_are_not_shown(settings: Settings, tmp_path: Path) -> None:
    outside = Settings(tmp_path / "repo", tmp_path / "out", tmp_path / "world", (0,), EXPERIMENTS)
    text = f"{tmp_path}/out/runs {tmp_path}/world/val {tmp_path}/repo/tools/train.py"
    assert anonymous(outside, text) == "OUT/runs DATA/val tools/train.py"
