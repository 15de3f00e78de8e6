"""Masks against pycocotools."""

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from pycocotools import mask as mask_utils

from densevlm_mm.datasets.annotations.masks import check_masks, mask_area, parse_mask, total_run_lengths


def raw(mask: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(mask).encode())


def test_totals_are_the_pixels_of_what_pycocotools_writes() -> None:
    rng = np.random.default_rng(0)
    strings, pixels = [], []
    for number in range(300):
        height, width = rng.integers(1, 90, 2)
        noise = rng.random((height, width)) < rng.random()
        stripes = np.add.outer(np.arange(height), np.arange(width)) % 7 < 3
        mask = np.asfortranarray(noise if number % 2 else stripes, dtype=np.uint8)
        strings.append(mask_utils.encode(mask)["counts"])
        pixels.append(height * width)
    np.testing.assert_array_equal(total_run_lengths(strings), pixels)


@pytest.mark.parametrize(
    ("string", "total"),
    [(b"", -1), (b"12", 3), (b"P0", 0), (b"O", -1), (b"zz", -1), ("é".encode(), -1), (b"o" * 40, -1)],
)
def test_what_is_no_string_of_run_lengths_has_no_total(string: bytes, total: int) -> None:
    assert total_run_lengths([string]).tolist() == [total]
    good = mask_utils.encode(np.ones((4, 5), np.uint8, order="F"))["counts"]
    assert total_run_lengths([good, string, good]).tolist() == [20, total, 20]  # the neighbours are not touched


def test_areas_are_those_of_pycocotools() -> None:
    mask = np.zeros((20, 30), np.uint8, order="F")
    mask[3:9, 4:11] = 1
    encoded = mask_utils.encode(mask)
    plain = dict(size=[20, 30], counts=[4 * 20 + 3, *[6, 14] * 6, 6, 600 - 83 - 6 * 20 - 6])
    for segmentation in (
        dict(size=[20, 30], counts=encoded["counts"].decode()),
        plain,
        [[4, 3, 11, 3, 11, 9, 4, 9], [0, 0, 1, 1]],
    ):
        parsed = parse_mask(raw(segmentation))
        assert parsed is not None
        assert mask_area(parsed, 20, 30) == 42


def test_absent_and_empty_masks_are_none_and_others_are_present() -> None:
    masks = [msgspec.Raw(b""), raw(None), raw([]), raw([[0, 0, 5, 0, 5, 5]]), raw([[0, 0, 5, 0, 5, 5], [1, 1]])]
    check = check_masks(masks, np.full(5, 10), np.full(5, 10))
    assert check.present.tolist() == [False, False, False, True, True]
    assert check.partial.tolist() == [False, False, False, False, True]
    assert check.faults == {}
