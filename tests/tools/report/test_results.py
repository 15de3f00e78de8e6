import json
from pathlib import Path

import pytest

from report.beyond import knee_name
from report.beyond_orderings import BEYOND_EXPECTATIONS
from report.experiments import EXPERIMENTS
from report.orderings import OUR_EXPECTATIONS, PAPER_ORDERINGS, QUESTIONS
from report.results import anonymous
from report.settings import Settings


def test_the_record_has_everything_and_is_json(settings: Settings, invented) -> None:
    record = json.loads(json.dumps(invented(settings).record()))
    assert record["seeds"] == [0, 1]
    groups = dict(
        paper_orderings=PAPER_ORDERINGS,
        our_expectations=OUR_EXPECTATIONS,
        questions=QUESTIONS,
        beyond_expectations=BEYOND_EXPECTATIONS,
    )
    for key, orderings in groups.items():
        assert [finding["title"] for finding in record[key]] == [ordering.title for ordering in orderings]
    assert set(record["results"][0]) == {"seed", *(experiment.name for experiment in EXPERIMENTS)}
    # The teachers, which all seeds share, and sweeps stand with the first seed alone.
    sweeps = {experiment.name for experiment in EXPERIMENTS if experiment.first_seed_only}
    assert set(record["results"][0]) - set(record["results"][1]) == {"teacher", "teacher_raw", *sweeps}
    assert all(run["command"].startswith("python tools/") for run in record["runs"])


def test_figures_of_whole_images_stand_beside_those_of_regions(settings: Settings, invented) -> None:
    metrics = invented(settings).results[1]["row4"]
    assert metrics["class_top1"] == pytest.approx(51.0)
    assert "masks_s_top1" in metrics


def test_the_dense_mean_and_the_coherence_in_percent_are_added(settings: Settings, invented) -> None:
    place = next(number for number, experiment in enumerate(EXPERIMENTS) if experiment.name == "row4")
    metrics = invented(settings).results[1]["row4"]
    assert metrics["dense_mean"] == pytest.approx(10.5 + place)  # all figures of the formula are equal
    assert metrics["coherence"] == pytest.approx(place)


def test_mean_ious_of_segmentors_stand_with_their_encoder(settings: Settings, invented) -> None:
    results = invented(settings, lost=("runs/seed0/row4/san_test",)).results
    assert (results[0]["before"]["san_mIoU"], results[0]["before"]["cat_seg_mIoU_stuff"]) == (30.0, 33.0)
    assert "san_mIoU" not in results[0]["row4"]
    assert "san_mIoU" not in results[1]["before"]


def test_a_curve_is_above_only_another_one_of_its_method(settings: Settings, invented) -> None:
    results = invented(settings).results[0]
    knee, plain = results[knee_name("densevlm")], results["row4"]
    assert (knee["curve_above_text_to_image_r1"], plain["curve_above_text_to_image_r1"]) == (1.0, 0.0)
    assert knee["curve_above_image_to_text_r1"] == 0.0  # the invented curve lies above CLIPSelf's


def test_what_did_not_finish_has_no_figures(settings: Settings, invented) -> None:
    report = invented(settings, lost=("runs/seed1/row4/test", "runs/seed1/before/retention"))
    assert "row4" in report.results[0]
    assert "row4" not in report.results[1]
    assert len(report.summary["row4"]["masks_s_top1"].values) == 1
    assert "class_top1" not in report.results[1]["before"]


def test_folders_of_this_machine_are_not_shown(settings: Settings, tmp_path: Path) -> None:
    outside = Settings(tmp_path / "repo", tmp_path / "out", tmp_path / "world", (0,), EXPERIMENTS)
    text = f"{tmp_path}/out/runs {tmp_path}/world/val {tmp_path}/repo/tools/train.py"
    assert anonymous(outside, text) == "OUT/runs DATA/val tools/train.py"
