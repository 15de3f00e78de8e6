import math

import numpy as np
import pytest
import torch
from mmcv.ops import nms, nms_match, soft_nms
from torch import Tensor

from densevlm_mm.compat import mmcv_ext


def random_boxes(num: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(num, 2, generator=generator) * 60
    sides = torch.rand(num, 2, generator=generator) * 40 + 1
    return torch.cat([corners, corners + sides], dim=1), torch.rand(num, generator=generator)


def iou(a: list[float], b: list[float], offset: int) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]) + offset)
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]) + offset)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def greedy(boxes: Tensor, scores: Tensor, threshold: float, offset: int, inclusive: bool) -> list[list[int]]:
    todo = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    groups = []
    while todo:
        best, rest = todo[0], todo[1:]
        overlaps = {i: iou(boxes[best].tolist(), boxes[i].tolist(), offset) for i in rest}
        gone = [i for i in rest if overlaps[i] > threshold or (inclusive and overlaps[i] == threshold)]
        groups.append([best, *gone])
        todo = [i for i in rest if i not in gone]
    return groups


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_nms_agrees_with_greedy_loop(threshold: float, offset: int) -> None:
    boxes, scores = random_boxes(40, seed=1)
    dets, kept = nms(boxes, scores, threshold, offset=offset)
    assert kept.tolist() == [group[0] for group in greedy(boxes, scores, threshold, offset, inclusive=False)]
    torch.testing.assert_close(dets, torch.cat([boxes, scores[:, None]], dim=1)[kept])


def test_nms_takes_bfloat16_and_no_boxes() -> None:
    boxes, scores = random_boxes(20, seed=2)
    boxes = boxes.bfloat16()
    expected = [group[0] for group in greedy(boxes.float(), scores, 0.5, 0, inclusive=False)]
    assert mmcv_ext.nms(boxes, scores, 0.5, 0).tolist() == expected
    assert mmcv_ext.nms(boxes[:0], scores[:0], 0.5, 0).shape == (0,)


def test_nms_match_groups_agree_with_greedy_loop() -> None:
    boxes, scores = random_boxes(30, seed=3)
    groups = nms_match(torch.cat([boxes, scores[:, None]], dim=1), 0.4)
    assert [group.tolist() for group in groups] == greedy(boxes, scores, 0.4, 0, inclusive=True)


def soft_nms_loop(
    boxes: np.ndarray, scores: np.ndarray, threshold: float, sigma: float, min_score: float, method: str, offset: int
) -> list[tuple[int, float]]:
    current = {i: float(score) for i, score in enumerate(scores)}
    result = []
    while current:
        best = max(current, key=lambda i: current[i])
        result.append((best, current.pop(best)))
        for i in list(current):
            overlap = iou(boxes[best].tolist(), boxes[i].tolist(), offset)
            if method == "gaussian":
                current[i] *= math.exp(-overlap * overlap / sigma)
            elif overlap >= threshold:
                current[i] *= 0.0 if method == "naive" else 1 - overlap
            if current[i] < min_score:
                del current[i]
    return result


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("method", ["naive", "linear", "gaussian"])
def test_soft_nms_agrees_with_loop(method: str, offset: int) -> None:
    boxes, scores = random_boxes(30, seed=4)
    dets, kept = soft_nms(boxes, scores, 0.3, sigma=0.5, min_score=0.05, method=method, offset=offset)
    expected = soft_nms_loop(boxes.numpy(), scores.numpy(), 0.3, 0.5, 0.05, method, offset)
    assert kept.tolist() == [index for index, _ in expected]
    torch.testing.assert_close(dets[:, 4], torch.tensor([score for _, score in expected]), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(dets[:, :4], boxes[kept])


def test_soft_nms_of_no_boxes_is_empty() -> None:
    dets, kept = soft_nms(torch.zeros(0, 4), torch.zeros(0))
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)


def test_soft_nms_refuses_unknown_method() -> None:
    boxes, scores = random_boxes(3, seed=5)
    with pytest.raises(ValueError, match="got 7"):
        mmcv_ext.softnms(boxes, scores, boxes.new_empty(3, 5), 0.3, 0.5, 0.0, 7, 0)
