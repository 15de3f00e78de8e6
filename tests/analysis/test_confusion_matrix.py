import json
import re
import sys

import numpy as np
import pytest

from densevlm_mm.analysis.confusion_matrix import (
    confusion_counts,
    confusion_record,
    plot_confusion,
    region_confusion,
    row_shares,
)
from densevlm_mm.analysis.confusion_page import write_confusion_page
from densevlm_mm.evaluation.region_classification import class_mean_accuracy, label_ranks
from densevlm_mm.vocabulary import Vocabulary


def test_counts_match_a_loop(make_scores) -> None:
    scores = make_scores()
    expected = np.zeros((7, 8), dtype=int)
    for label, row, empty in zip(scores.labels, scores.mask_scores, scores.mask_empty, strict=True):
        expected[label, 7 if empty else row.argmax()] += 1
    np.testing.assert_array_equal(region_confusion(scores), expected)
    assert region_confusion(scores).sum() == 200
    assert region_confusion(scores, "boxes")[:, 7].sum() == 0


def test_the_diagonal_is_the_per_class_accuracy(make_scores) -> None:
    scores = make_scores()
    correct = (label_ranks(scores.mask_scores, scores.labels) == 0).numpy()
    _, accuracy = class_mean_accuracy(correct, scores.labels.numpy(), 7)
    np.testing.assert_allclose(np.diag(row_shares(region_confusion(scores))), accuracy)
    assert np.isnan(accuracy[6])


def test_the_most_frequent_confusions_come_first() -> None:
    vocabulary = Vocabulary("v", ("a", "b"), (("a",), ("b",)), np.array([True, False]))
    counts = confusion_counts(np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 0, -1]), 2)
    record = confusion_record(counts, vocabulary)
    assert record["counts"] == [[3, 1], [1, 0]]
    assert record["without_prediction"] == [0, 1]
    pairs = [(pair["annotated"], pair["predicted"], pair["share"]) for pair in record["top_confusions"]]
    assert pairs == [("b", "a", 50.0), ("a", "b", 25.0)]


def test_the_picture_is_whole(make_scores, tmp_path, assert_whole_picture) -> None:
    scores = make_scores()
    plot_confusion(region_confusion(scores), scores.vocabulary, tmp_path / "a.png", title="some title")
    assert_whole_picture(tmp_path / "a.png")


@pytest.mark.parametrize("flag", [True, False])
def test_classes_of_one_kind_alone_can_be_drawn(flag, tmp_path, assert_whole_picture) -> None:
    vocabulary = Vocabulary("v", ("a", "b"), (("a",), ("b",)), np.array([flag, flag]))
    plot_confusion(np.array([[1, 2, 0], [0, 0, 0]]), vocabulary, tmp_path / "a.png")
    assert_whole_picture(tmp_path / "a.png")


def test_odd_names_are_drawn_and_told_apart(tmp_path, assert_whole_picture) -> None:
    names = ("price $x_{2$", "50 % \\off^2", "bag", "bag, handbag", "自行车", "公交车", "bat (wood, old)", "x" * 300)
    vocabulary = Vocabulary("v", names, tuple((name,) for name in names), np.arange(8) < 6)
    counts = np.pad(np.eye(8, dtype=int), ((0, 0), (0, 1)))
    plot_confusion(counts, vocabulary, tmp_path / "a.png", title="odd $names, 名字")
    assert_whole_picture(tmp_path / "a.png")
    swapped = (*names[:4], names[5], names[4], *names[6:])
    vocabulary = Vocabulary("v", swapped, tuple((name,) for name in swapped), np.arange(8) < 6)
    plot_confusion(counts, vocabulary, tmp_path / "b.png", title="odd $names, 名字")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_the_page_has_every_number_and_needs_no_network(make_scores, tmp_path) -> None:
    scores = make_scores()
    counts = region_confusion(scores)
    write_confusion_page(counts, scores.vocabulary, tmp_path / "a.html", title="<b>some</b> title")
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;some" in page
    assert '<script src="http' not in page
    figure = json.loads(re.search(r'Plotly\.newPlot\(\s*"[^"]+",\s*(\[.*?\]),\s*\{"template"', page, re.DOTALL)[1])
    order = np.argsort(~scores.vocabulary.thing_mask, kind="stable")
    assert figure[0]["x"] == [scores.vocabulary.classes[label] for label in order]


def test_a_page_without_plotly_says_what_to_install(make_scores, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    scores = make_scores()
    with pytest.raises(ImportError, match="pip install plotly"):
        write_confusion_page(region_confusion(scores), scores.vocabulary, tmp_path / "a.html")
