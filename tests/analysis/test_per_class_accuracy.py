import json

import numpy as np
import pytest

from densevlm_mm.analysis.per_class_accuracy import (
    load_per_class,
    per_class_table,
    plot_per_class_accuracy,
    select_classes,
)


@pytest.fixture
def results(make_scores, tmp_path) -> dict[str, list[dict]]:
    tables = {}
    for seed, name in enumerate(("before", "after")):
        scores = make_scores()
        other = make_scores(seed)
        object.__setattr__(other, "labels", scores.labels)
        other.evaluate(str(tmp_path / name))
        tables[name] = load_per_class(tmp_path / f"{name}.json")
    return tables


def test_things_come_first_and_each_kind_is_sorted_by_the_last_encoder(results) -> None:
    table = per_class_table(results)
    assert [row["class"] for row in table][:3] == sorted(
        "acf", key=lambda name: -next(r for r in results["after"] if r["name"] == name)["masks_t_top1"]
    )
    assert {row["class"] for row in table[3:]} == {"b", "d", "e"}  # g has no region
    stuff = [row["after"] for row in table[3:]]
    assert stuff == sorted(stuff, reverse=True)
    row = table[-1]
    source = next(r for r in results["before"] if r["name"] == row["class"])
    assert row["before"] == source["masks_s_top1"]


def test_things_by_boxes_and_top_5(results) -> None:
    table = per_class_table(results, things_by="boxes", top=5)
    row = next(row for row in table if row["class"] == "a")
    assert row["after"] == next(r for r in results["after"] if r["name"] == "a")["boxes_top5"]
    with pytest.raises(ValueError, match="not 'points', Top-1"):
        per_class_table(results, things_by="points")


def test_chosen_classes_are_shown_even_without_regions(results) -> None:
    table = per_class_table(results, classes=["g", "b"])
    assert [row["class"] for row in table] == ["g", "b"]
    assert np.isnan(table[0]["after"])


def test_an_unknown_class_is_named() -> None:
    assert select_classes(["a", "b"], None) == [0, 1]
    assert select_classes(["a", "window "], ["window"]) == [1]
    with pytest.raises(KeyError, match="no class 'x'; classes: a, b"):
        select_classes(["a", "b"], ["b", "x"])
    assert select_classes(["alarm_clock", "sea, ocean", "bat (wood, old)"], ["Bat (wood, old)", "ocean"]) == [1, 2]


def test_tables_of_other_data_are_refused(results) -> None:
    results["after"] = [dict(row, num_regions=row["num_regions"] + 1) for row in results["after"]]
    with pytest.raises(ValueError, match="not evaluated on the same regions"):
        per_class_table(results)


def test_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        load_per_class(tmp_path / "none.json")
    (tmp_path / "a.json").write_text(json.dumps(dict(classes=[dict(name="a")])))
    with pytest.raises(ValueError, match="no per-class table"):
        load_per_class(tmp_path / "a.json")
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        load_per_class(tmp_path / "b.json")


def test_many_classes_continue_in_another_row(results, tmp_path, assert_whole_picture) -> None:
    table = per_class_table(results)
    plot_per_class_accuracy(table, list(results), tmp_path / "few.png", title="some title")
    assert_whole_picture(tmp_path / "few.png")
    many = [dict(table[0], **{"class": f"a rather long class name {i}"}) for i in range(50)]
    plot_per_class_accuracy(many, list(results), tmp_path / "many.png")
    assert_whole_picture(tmp_path / "many.png")


def test_classes_without_a_value_can_be_drawn(results, tmp_path, assert_whole_picture) -> None:
    plot_per_class_accuracy(per_class_table(results, classes=["g"]), list(results), tmp_path / "a.png")
    assert_whole_picture(tmp_path / "a.png")
