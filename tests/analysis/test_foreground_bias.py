from collections import defaultdict

import pytest

from densevlm_mm.analysis.foreground_bias import foreground_bias_rows, plot_foreground_bias, stuff_order


def test_counts_shares_and_confidences_match_a_loop(make_scores) -> None:
    scores = make_scores()
    names, flags = scores.vocabulary.classes, scores.vocabulary.thing_mask
    found = defaultdict(list)
    for label, row, empty in zip(scores.labels.tolist(), scores.mask_scores, scores.mask_empty, strict=True):
        best = int(row.argmax())
        if not empty and not flags[label] and flags[best]:
            found[names[label], names[best]].append(float((row / 0.05).softmax(dim=0)[best]))
    rows = foreground_bias_rows(scores, temperature=0.05)
    assert {(row["stuff"], row["thing"]): row["count"] for row in rows} == {k: len(v) for k, v in found.items()}
    for row in rows:
        confidences = found[row["stuff"], row["thing"]]
        total = (scores.labels == names.index(row["stuff"])).sum().item()
        assert row["share"] == pytest.approx(100 * len(confidences) / total)
        assert row["mean_confidence"] == pytest.approx(sum(confidences) / len(confidences), rel=1e-5)


def test_the_total_is_the_metrics_foreground_bias(make_scores) -> None:
    scores = make_scores()
    num_stuff = int((~scores.is_thing).sum())
    total = sum(row["count"] for row in foreground_bias_rows(scores))
    assert 100 * total / num_stuff == pytest.approx(scores.evaluate()["foreground_bias"])


def test_the_most_often_mistaken_stuff_comes_first(make_scores) -> None:
    scores = make_scores()
    rows = foreground_bias_rows(scores)
    total = {name: sum(row["share"] for row in rows if row["stuff"] == name) for name in "bde"}
    assert stuff_order(scores, rows) == sorted("bde", key=lambda name: -total[name])
    assert set(stuff_order(scores, rows, ["e", "b"])) == {"b", "e"}
    with pytest.raises(KeyError, match="no class 'a'; classes: b, d, e"):
        stuff_order(scores, rows, ["a"])


def test_the_picture_is_whole(make_scores, tmp_path, assert_whole_picture) -> None:
    both = {f"seed {seed}": make_scores(seed) for seed in range(2)}
    rows = {name: foreground_bias_rows(scores) for name, scores in both.items()}
    rows["nothing wrong"] = []
    metrics = {name: make_scores().evaluate() for name in rows}
    plot_foreground_bias(rows, ["b", "d", "e"], tmp_path / "a.png", metrics, title="some title")
    assert_whole_picture(tmp_path / "a.png")
