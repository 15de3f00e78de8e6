"""Compare class-wise NMS over all scores (mmdet) with NMS over the best candidates (F-ViT), for growing vocabularies.

Example:
    OMP_NUM_THREADS=1 python tools/benchmarks/multiclass_nms.py --classes 65 1203
"""

import argparse
import time
from collections.abc import Callable

import torch
from mmengine.config import ConfigDict

import densevlm_mm  # noqa: F401  (before mmdet)
from densevlm_mm.models.layers.multiclass_nms import multiclass_nms

NMS = ConfigDict(type="nms", iou_threshold=0.5)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[65, 300, 1203], help="sizes of the vocabulary")
    parser.add_argument("--regions", type=int, default=1000, help="boxes of the image")
    parser.add_argument("--score-thr", type=float, default=1e-4)
    parser.add_argument("--max-per-img", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def best_time(run: Callable[[], object], repeats: int) -> tuple[float, object]:
    """Shortest time in seconds of several runs, and the result of the last."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - began)
    return min(times), result


def main() -> None:
    """Print times, their ratio, and whether the detections are the same."""
    args = parse_args()

    from mmdet.models.layers import multiclass_nms as over_all

    torch.manual_seed(0)
    corner, size = torch.rand(args.regions, 2) * 800, torch.rand(args.regions, 2) * 200 + 10
    boxes = torch.cat([corner, corner + size], dim=1)
    print(f"{'classes':>8}{'scores':>10}{'all, s':>9}{'best, s':>9}{'ratio':>7}  same")
    for num_classes in args.classes:
        scores = (2 * torch.randn(args.regions, num_classes + 1)).softmax(dim=1)
        slow, (dets, labels) = best_time(
            lambda scores=scores: over_all(boxes, scores, args.score_thr, NMS, args.max_per_img), args.repeats
        )
        quick, found = best_time(
            lambda scores=scores: multiclass_nms(boxes, scores[:, :-1], args.score_thr, NMS, args.max_per_img),
            args.repeats,
        )
        same = torch.equal(torch.cat([found[0], found[1][:, None]], dim=1), dets) and torch.equal(found[2], labels)
        above = int((scores[:, :-1] > args.score_thr).sum())
        print(f"{num_classes:8d}{above:10d}{slow:9.3f}{quick:9.3f}{slow / quick:7.1f}  {same}")


if __name__ == "__main__":
    main()
