"""Checks of COCO's masks: polygons, and run lengths plain or compressed."""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct
from pycocotools import mask as mask_utils

from densevlm_mm.datasets.annotations.json_files import shorten

_CHUNK = 256  # masks whose run lengths are looked at together: what fits the cache


class RunLengths(Struct):
    """A mask as run lengths, column by column, beginning with the background."""

    size: tuple[int, int]
    counts: str | list[int]


Mask = list[list[float]] | RunLengths
_DECODER = msgspec.json.Decoder(Mask | None)


class MaskCheck:
    """What is known of the masks of a file after :func:`check_masks`.

    Attributes:
        present: (N,) bool, the annotations that have a mask.
        partial: (N,) bool, those of whose polygons some have fewer than three points, which mmdet leaves out.
        faults: What is wrong, by position.
    """

    def __init__(self, num: int) -> None:
        self.present = np.zeros(num, dtype=bool)
        self.partial = np.zeros(num, dtype=bool)
        self.faults: dict[int, str] = {}


def parse_mask(raw: Raw) -> Mask | None:
    """Parse a mask; None for an absent, empty or ``null`` one.

    Raises:
        ValueError: If it is neither polygons nor run lengths.
    """
    if not memoryview(raw):
        return None
    return _DECODER.decode(raw) or None


def check_masks(masks: Sequence[Raw], heights: np.ndarray, widths: np.ndarray) -> MaskCheck:
    """Check the masks of annotations.

    What pycocotools would make of the faults is worse than an error: run lengths that do not fill the image leave
    pixels as they were in memory, and a polygon with a far-away corner takes all memory there is.

    Args:
        masks: N masks as JSON, empty where there is none.
        heights: (N,) rows of the image of each.
        widths: (N,) columns of the image of each.
    """
    check = MaskCheck(len(masks))
    compressed: list[int] = []
    strings: list[bytes] = []
    shapes = zip(heights.tolist(), widths.tolist(), strict=True)
    for row, (raw, (height, width)) in enumerate(zip(masks, shapes, strict=True)):
        try:
            mask = parse_mask(raw)
        except ValueError:
            check.faults[row] = "is neither a list of polygons [x1, y1, x2, y2, ...] nor run lengths (size and counts)"
            continue
        if mask is None:
            continue
        check.present[row] = True
        if isinstance(mask, list):
            fault = _polygon_fault(mask, max(height, width))
            check.partial[row] = fault is None and min(map(len, mask)) < 6
        else:
            fault = _run_length_fault(mask, height, width)
            if fault is None and isinstance(mask.counts, str):
                compressed.append(row)
                strings.append(mask.counts.encode())
        if fault is not None:
            check.faults[row] = fault
    for start in range(0, len(compressed), _CHUNK):
        rows = np.array(compressed[start : start + _CHUNK])
        totals = total_run_lengths(strings[start : start + _CHUNK])
        pixels = heights[rows] * widths[rows]
        for row, total in zip(rows[totals != pixels].tolist(), totals[totals != pixels].tolist(), strict=True):
            check.faults[row] = _wrong_total(total, int(heights[row]), int(widths[row]))
    return check


def _polygon_fault(polygons: list[list[float]], side: int) -> str | None:
    longest = 0
    for polygon in polygons:  # millions of times: no comprehension, one pass
        length = len(polygon)
        if length % 2:
            return f"has a polygon of {length} numbers, an odd count: {shorten(polygon, 40)}"
        if length and not -side <= min(polygon) <= max(polygon) <= 2 * side:
            return f"has a polygon far outside the image: {shorten(polygon, 40)}"
        longest = max(longest, length)
    return None if longest >= 6 else f"has no polygon of three points or more, only {shorten(polygons[0], 40)}"


def _run_length_fault(mask: RunLengths, height: int, width: int) -> str | None:
    if mask.size != (height, width):
        return f"is run lengths of size {list(mask.size)}, but its image is [height, width] = [{height}, {width}]"
    if isinstance(mask.counts, str):
        return None
    total = sum(mask.counts) if min(mask.counts, default=0) >= 0 else -1
    return None if total == height * width else _wrong_total(total, height, width)


def _wrong_total(total: int, height: int, width: int) -> str:
    found = "cannot be decoded" if total < 0 else f"cover {total} pixels"
    return f"is run lengths that {found}, but its image has {height} x {width} = {height * width}"


def total_run_lengths(strings: Sequence[bytes]) -> np.ndarray:
    """Numbers of pixels that compressed run lengths cover.

    COCO's compression writes a number as characters of 5 bits, the least first, and from the fourth number on the
    difference to the number two places before.

    Args:
        strings: Compressed run lengths of N masks.

    Returns:
        (N,) int64; -1 where the string is not of this kind or a length is negative.
    """
    sizes = np.array([len(string) for string in strings], dtype=np.int64)
    # All strings as one array: one by one, millions of them would be a Python loop over their characters.
    codes = np.frombuffer(b"".join(strings), np.uint8).astype(np.int64) - 48
    owner = np.repeat(np.arange(len(strings)), sizes)
    wrong = sizes == 0
    wrong[owner[(codes < 0) | (codes > 63)]] = True
    is_last = (codes & 32) == 0
    ends = np.cumsum(sizes)[sizes > 0] - 1
    wrong[owner[ends[~is_last[ends]]]] = True
    is_last[ends] = True  # so that a cut string does not run into the next one
    if not len(codes):
        return np.full(len(strings), -1)

    last = np.flatnonzero(is_last)
    starts = np.r_[0, last[:-1] + 1]
    place = np.arange(len(codes)) - np.repeat(starts, last - starts + 1)
    wrong[owner[place > 10]] = True
    values = np.add.reduceat((codes & 31) << (5 * np.minimum(place, 10)), starts)
    # The highest bit of a number's last character is its sign.
    values -= np.where(codes[last] & 16, np.int64(1) << (5 * np.minimum(place[last] + 1, 11)), 0)

    owner = owner[starts]
    first = np.r_[0, np.flatnonzero(np.diff(owner)) + 1]
    position = np.arange(len(values)) - np.repeat(first, np.diff(np.r_[first, len(values)]))
    totals = np.zeros(len(strings), dtype=np.int64)
    # A difference refers to the number two places before, so odd and even places are two running sums of their own;
    # the first number stands alone, since the third one is written whole.
    for chain in (position == 0, position % 2 == 1, (position > 0) & (position % 2 == 0)):
        lengths, of = _sums_within(values[chain], owner[chain])
        wrong[of[lengths < 0]] = True
        totals += np.bincount(of, lengths, len(strings)).astype(np.int64)
    return np.where(wrong, -1, totals)


def _sums_within(values: np.ndarray, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Running sums that begin anew with every owner, and the owners."""
    if not len(values):
        return values, owner
    sums = np.cumsum(values)
    begins = np.r_[0, np.flatnonzero(np.diff(owner)) + 1]
    before = sums[begins] - values[begins]
    return sums - np.repeat(before, np.diff(np.r_[begins, len(values)])), owner


def run_lengths(mask: Mask, height: int, width: int) -> Any:
    """A checked mask as pycocotools' own run lengths.

    Args:
        mask: Polygons or run lengths.
        height: Rows of the image.
        width: Columns of the image.
    """
    if isinstance(mask, list):
        return mask_utils.merge(mask_utils.frPyObjects([p for p in mask if len(p) >= 6], height, width))
    if isinstance(mask.counts, list):
        return mask_utils.frPyObjects(dict(size=list(mask.size), counts=mask.counts), height, width)
    return dict(size=list(mask.size), counts=mask.counts.encode())


def mask_area(mask: Mask, height: int, width: int) -> float:
    """Pixels of a checked mask, see :func:`run_lengths`."""
    return float(mask_utils.area(run_lengths(mask, height, width)))


def is_flat(mask: Mask | None, box_xywh: Sequence[float]) -> bool:
    """Whether polygons are as flat as a box without height or width: a line, and so described."""
    if not isinstance(mask, list) or not mask or any(len(polygon) < 2 for polygon in mask):
        return False
    xs = [x for polygon in mask for x in polygon[::2]]
    ys = [y for polygon in mask for y in polygon[1::2]]
    extent = min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)
    return max(abs(a - b) for a, b in zip(extent, box_xywh, strict=True)) < 1
