"""Measure one pretraining step and its parts; prints one JSON line.

Weights are random and images are noise: neither changes the time. The parts are measured alone and the whole step
through the trainer's own hook and model, in one process and one run, so that their ratios hold on a noisy machine.

Examples:
    python tools/benchmarks/pretrain_step.py --batch-size 2 --dtype bfloat16
    python tools/benchmarks/pretrain_step.py --student TinyScenes-S --teacher TinyScenes-T --size 64 --batch-size 40
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from densevlm_mm.datasets import UnlabeledImageDataset
from densevlm_mm.engine.hooks import RegionRetrievalHook
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.registry import MODELS

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="EVA02-B-16", help="open_clip name")
    parser.add_argument("--teacher", default="EVA02-L-14-336", help="open_clip name")
    parser.add_argument("--size", type=int, default=512, help="canvas in pixels")
    parser.add_argument(
        "--teacher-size", type=int, help="the teacher's canvas; default: the multiple of its patch above size"
    )
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="bfloat16", help="autocast type")
    parser.add_argument("--num-classes", type=int, default=316)
    parser.add_argument(
        "--repeats", type=int, default=3, help="counted runs, after one that is not; the median is printed"
    )
    args = parser.parse_args()
    if args.dtype == "float16" and DEVICE.type == "cpu":
        sys.exit("tools/benchmarks/pretrain_step.py: float16 is for GPUs, give --dtype bfloat16 or float32.")
    return args


def milliseconds(function: Callable[[], object], repeats: int) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats + 1):
        synchronize()
        began = time.perf_counter()
        function()
        synchronize()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[1:])


def synchronize() -> None:
    """Wait for the GPU."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def gemm_peak(dtype: torch.dtype, repeats: int) -> float:
    """Measured FLOP/s of a large matrix product, the peak that the step is held against."""
    side = 8192 if DEVICE.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=DEVICE, dtype=dtype) for _ in range(2))
    return 2 * side**3 / (milliseconds(lambda: a @ b, repeats) / 1000)


def random_embeddings(num_classes: int, dim: int, model: str) -> ClassEmbeddings:
    """Embeddings of a vocabulary that is two thirds things."""
    return ClassEmbeddings(
        name="benchmark",
        classes=tuple(f"class {i}" for i in range(num_classes)),
        is_thing=np.arange(num_classes) < 2 * num_classes // 3,
        embeddings=torch.nn.functional.normalize(torch.randn(num_classes, dim), dim=-1),
        model=model,
        templates="plain",
        normalization="class",
        fingerprint="",
    )


def loader(folder: Path, size: int) -> UnlabeledImageDataset:
    """A data set of 640x480 JPEG files behind the pretraining pipeline."""
    rng = np.random.default_rng(0)
    for i in range(16):
        noise = cv2.resize(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{i}.jpg"), noise)
    pipeline = [
        dict(type="LoadImage"),
        dict(type="ResizeLongestSide", size=size),
        dict(type="GridRegions", mode="balanced", max_grid=6),
        dict(type="PadToSquare", size=size),
        dict(type="PackRegionInputs"),
    ]
    return UnlabeledImageDataset(source=str(folder), pipeline=pipeline)


def peak_memory() -> float:
    """Highest memory use so far in GB: of the GPU if there is one, else of the process."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 1e9
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def main() -> None:
    """Measure and print."""
    args = parse_args()
    torch.manual_seed(0)
    init_default_scope("densevlm_mm")
    dtype = getattr(torch, args.dtype)
    with tempfile.TemporaryDirectory() as folder:
        dataset = loader(Path(folder), args.size)
        data_ms = milliseconds(lambda: [dataset[i] for i in range(16)], args.repeats) / 16
        batch = pseudo_collate([dataset[i % 16] for i in range(args.batch_size)])

    def encoder(name: str, **options: str) -> dict:
        return dict(type="DenseImageEncoder", model_name=name, checkpoint="random", **options)

    teacher = MODELS.build(encoder(args.teacher))
    side = args.teacher_size or -(-args.size // teacher.stride) * teacher.stride
    student_dim = MODELS.build(encoder(args.student)).embed_dim
    hook = RegionRetrievalHook(
        encoder(args.teacher),
        random_embeddings(args.num_classes, teacher.embed_dim, args.teacher),
        input_size=side,
        dtype=args.dtype,
    )
    del teacher
    model = RegionPretrainer(
        encoder(args.student, trainable="blocks"),
        dict(type="DecoupledAlignmentLoss", threshold=0.0),
        random_embeddings(args.num_classes, student_dim, args.student),
    ).to(DEVICE)
    model.train()
    runner = SimpleNamespace(model=model, cfg=ConfigDict(model=dict()), optim_wrapper=SimpleNamespace(), hooks=[hook])
    hook.before_train(runner)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-5)

    def autocast() -> torch.autocast:
        return torch.autocast(DEVICE.type, dtype=dtype, enabled=dtype is not torch.float32)

    teacher_images = torch.randn(args.batch_size, 3, side, side, device=DEVICE)
    student_images = torch.randn(args.batch_size, 3, args.size, args.size, device=DEVICE)

    def teacher_forward() -> None:
        with torch.no_grad(), autocast():
            hook.teacher.dense(teacher_images)

    def student_forward() -> torch.Tensor:
        with autocast():
            return model.encoder.dense(student_images)

    def student_both() -> None:
        student_forward().square().sum().backward()
        model.zero_grad(set_to_none=True)

    def step() -> None:
        hook.before_train_iter(runner, 0, batch)
        data = model.data_preprocessor(batch, training=True)
        with autocast():
            losses = model(**data, mode="loss")
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    teacher_ms = milliseconds(teacher_forward, args.repeats)
    forward_ms = milliseconds(student_forward, args.repeats)
    both_ms = milliseconds(student_both, args.repeats)
    step_ms = milliseconds(step, args.repeats)
    with FlopCounterMode(display=False) as flops:
        step()
    peak = gemm_peak(dtype, args.repeats)
    rate = flops.get_total_flops() / (step_ms / 1000)
    print(
        json.dumps(
            dict(
                student=args.student,
                teacher=args.teacher,
                size=args.size,
                teacher_size=side,
                batch_size=args.batch_size,
                dtype=args.dtype,
                device=str(DEVICE),
                data_ms_per_image=round(data_ms, 2),
                teacher_ms=round(teacher_ms, 1),
                student_forward_ms=round(forward_ms, 1),
                student_backward_ms=round(both_ms - forward_ms, 1),
                step_ms=round(step_ms, 1),
                step_over_parts=round(step_ms / (teacher_ms + both_ms), 3),
                images_per_second=round(1000 * args.batch_size / step_ms, 2),
                peak_memory_gb=round(peak_memory(), 2),
                step_gflop=round(flops.get_total_flops() / 1e9, 1),
                gemm_peak_gflops=round(peak / 1e9, 1),
                share_of_gemm_peak=round(rate / peak, 3),
            )
        )
    )


if __name__ == "__main__":
    main()
