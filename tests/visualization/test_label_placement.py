import numpy as np
import pytest

from densevlm_mm.visualization.label_placement import place_labels


def overlap(one: tuple, other: tuple) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("seed", range(3))
def test_labels_lie_inside_the_picture_and_overlap_nowhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    corners = rng.random((150, 2)) * (640, 480)
    boxes = np.concatenate([corners, corners + rng.random((150, 2)) * (200, 150)], axis=1).tolist()
    sizes = [(width, 18.0) for width in rng.integers(20, 160, 150).tolist()]
    taken = [(500.0, 450.0, 640.0, 480.0)]
    places = [place for place in place_labels(sizes, boxes, (640, 480), taken) if place is not None]
    assert len(places) > 60
    for i, place in enumerate(places):
        assert min(place) >= 0
        assert place[2] <= 640
        assert place[3] <= 480
        assert not any(overlap(place, other) for other in (*places[:i], *taken))


def test_a_label_stands_on_its_box_or_in_it_at_the_top_border() -> None:
    places = place_labels([(50, 20), (50, 20)], [(100, 100, 200, 200), (300, 0, 400, 60)], (640, 480))
    assert places == [(100, 80, 150, 100), (300, 0, 350, 20)]


def test_the_label_of_a_point_is_centred_on_it() -> None:
    assert place_labels([(50, 20)], [(100, 100, 100, 100)], (640, 480)) == [(75, 90, 125, 110)]


def test_what_finds_no_place_is_none() -> None:
    anchors = [(0.0, 0.0, 30.0, 20.0)] * 3
    places = place_labels([(30, 10)] * 3, anchors, (30, 20))
    assert places == [(0, 0, 30, 10), (0, 10, 30, 20), None]
    assert place_labels([(31, 10)], anchors[:1], (30, 20)) == [None]
