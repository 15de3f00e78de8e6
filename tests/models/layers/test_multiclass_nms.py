import pytest
import torch
from mmengine.config import ConfigDict

from densevlm_mm.models.layers import multiclass_nms as module
from densevlm_mm.models.layers.multiclass_nms import multiclass_nms

NMS = ConfigDict(type="nms", iou_threshold=0.5)


def random_boxes(num: int) -> torch.Tensor:
    corner, size = torch.rand(num, 2) * 100, torch.rand(num, 2) * 60 + 5
    return torch.cat([corner, corner + size], dim=1)


def reference(boxes: torch.Tensor, scores: torch.Tensor, score_thr: float, iou_thr: float) -> list[tuple]:
    """Greedy NMS class after class: (score, label, box index), best first."""
    kept = []
    for label in range(scores.shape[1]):
        alive: list[int] = []
        for row in scores[:, label].argsort(descending=True).tolist():
            if scores[row, label] <= score_thr:
                break
            x1, y1 = torch.maximum(boxes[row, :2], boxes[alive, :2]).unbind(-1)
            x2, y2 = torch.minimum(boxes[row, 2:], boxes[alive, 2:]).unbind(-1)
            inter = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
            area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            if not (inter / (area[row] + area[alive] - inter) > iou_thr).any():
                alive.append(row)
        kept += [(float(scores[row, label]), label, row) for row in alive]
    return sorted(kept, reverse=True)


@pytest.mark.parametrize("first", [4096, 3])
@pytest.mark.parametrize("max_per_img", [10, 10_000, -1])
def test_equals_greedy_nms_class_after_class(first: int, max_per_img: int, monkeypatch) -> None:
    monkeypatch.setattr(module, "_FIRST_CANDIDATES", first)
    torch.manual_seed(0)
    boxes, scores = random_boxes(30), torch.rand(30, 5)
    expected = reference(boxes, scores, 0.2, 0.5)[: max_per_img if max_per_img > 0 else None]
    found_boxes, found_scores, labels = multiclass_nms(boxes, scores, 0.2, NMS, max_per_img)
    assert labels.tolist() == [label for _, label, _ in expected]
    torch.testing.assert_close(found_scores, torch.tensor([score for score, _, _ in expected]))
    assert torch.equal(found_boxes, boxes[[row for _, _, row in expected]])


def test_takes_more_candidates_until_enough_survive(monkeypatch) -> None:
    """Of ten equal boxes one survives; the other class's box is only found among more candidates."""
    monkeypatch.setattr(module, "_FIRST_CANDIDATES", 2)
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0]]).repeat(10, 1)
    scores = torch.stack([torch.linspace(0.9, 0.8, 10), torch.linspace(0.3, 0.2, 10)], dim=1)
    _, found, labels = multiclass_nms(boxes, scores, 0.0, NMS, 2)
    assert labels.tolist() == [0, 1]
    torch.testing.assert_close(found, torch.tensor([0.9, 0.3]))


@pytest.mark.parametrize("num_boxes", [0, 4])
def test_no_candidate(num_boxes: int) -> None:
    boxes, scores, labels = multiclass_nms(random_boxes(num_boxes), torch.zeros(num_boxes, 3), 0.1, NMS, 5)
    assert boxes.shape == (0, 4)
    assert len(scores) == len(labels) == 0


def test_only_the_best_candidates_meet_nms(monkeypatch) -> None:
    """1203 classes at a threshold of 1e-4: a million scores, of which NMS sees a few thousand."""
    seen = []
    monkeypatch.setattr(
        module, "batched_nms", lambda b, s, *rest, real=module.batched_nms: (seen.append(len(s)), real(b, s, *rest))[1]
    )
    torch.manual_seed(0)
    boxes, scores = random_boxes(1000), (2 * torch.randn(1000, 1203)).softmax(dim=1)
    assert (scores > 1e-4).sum() > 500_000
    assert len(multiclass_nms(boxes, scores, 1e-4, NMS, 300)[1]) == 300
    assert sum(seen) <= 8192


def test_soft_nms_sees_all_candidates() -> None:
    torch.manual_seed(0)
    boxes, scores = random_boxes(20), torch.rand(20, 2)
    cfg = ConfigDict(type="soft_nms", iou_threshold=0.3, min_score=0.0)
    _, found, _ = multiclass_nms(boxes, scores, 0.0, cfg, 40)
    assert len(found) == 40
    assert (found < scores.flatten().sort(descending=True).values).any()
