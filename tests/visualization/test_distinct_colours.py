import cv2
import numpy as np

from densevlm_mm.visualization.distinct_colours import assign_colours, distinct_colours


def test_colours_are_different_and_do_not_depend_on_the_count() -> None:
    many = distinct_colours(200)
    assert len(np.unique(many, axis=0)) == 200
    assert (distinct_colours(9) == many[:9]).all()
    assert distinct_colours(1200).shape == (1200, 3)
    assert distinct_colours(0).shape == (0, 3)


def test_first_colours_are_far_apart_also_without_red_or_green() -> None:
    colours = distinct_colours(12).astype(np.float32)[None] / 255
    # A crude stand-in for red-green blindness, independent of the code: red and green are averaged.
    blind = np.concatenate([colours[..., :2].mean(-1, keepdims=True)] * 2 + [colours[..., 2:]], axis=-1)
    for seen, least in ((colours, 20), (blind, 8)):
        lab = cv2.cvtColor(seen, cv2.COLOR_RGB2LAB)[0]
        distance = np.linalg.norm(lab[:, None] - lab, axis=-1)
        assert distance[~np.eye(12, dtype=bool)].min() > least


def test_class_keeps_its_colour_unless_a_larger_one_has_it() -> None:
    pool = distinct_colours(24)
    assert (assign_colours([5, 7]) == pool[[5, 7]]).all()
    assert (assign_colours([5, 29, 6]) == pool[[5, 6, 7]]).all()
    assert (assign_colours([23, 47]) == pool[[23, 0]]).all()


def test_many_classes_all_differ_and_the_first_keep_theirs() -> None:
    assert (assign_colours([5, 7, *range(24, 60)])[:2] == distinct_colours(24)[[5, 7]]).all()
    assert len(np.unique(assign_colours(list(range(0, 847, 7))), axis=0)) == len(range(0, 847, 7))
