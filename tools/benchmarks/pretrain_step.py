"""Measure one pretraining step and its parts; prints one JSON line.

Weights are random and images are noise: neither changes the time. What is compared is measured in turn in one process,
on the CPU by the time of the process, so that ratios hold on a machine that does other things too.

Examples:
    python tools/benchmarks/pretrain_step.py --batch-size 2 --dtype bfloat16
    python tools/benchmarks/pretrain_step.py --batch-size 1 --compare          # with a plain program, also its loader
    python tools/benchmarks/pretrain_step.py --batch-size 1 --compile          # with the same, compiled
    python tools/benchmarks/pretrain_step.py --batch-size 2 --classes 316 3160 --regions 36 144
    python tools/benchmarks/pretrain_step.py --student TinyScenes-S --teacher TinyScenes-T --size 64 --batch-size 40
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import simplejpeg
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from plain_step import PlainImages, PlainStep
from timing import DEVICE, gemm_peak, in_turn, milliseconds, peak_memory
from torch.utils.flop_counter import FlopCounterMode
from training_step import NUM_FILES, TrainingStep, encoder_config, pretraining_data, write_images

from densevlm_mm.registry import MODELS


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
    parser.add_argument(
        "--classes", type=int, nargs="+", default=[316], help="sizes of the vocabulary; the first is the step's"
    )
    parser.add_argument("--regions", type=int, nargs="+", default=[36], help="regions of an image, squares")
    parser.add_argument("--compare", action="store_true", help="measure a plain program beside ours (EVA-02 towers)")
    parser.add_argument("--compile", action="store_true", help="measure compiled dense passes beside eager ones")
    parser.add_argument("--backend", default="inductor", help="of --compile")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, after one that is not")
    args = parser.parse_args()
    if args.dtype == "float16" and DEVICE.type == "cpu":
        sys.exit("tools/benchmarks/pretrain_step.py: float16 is for GPUs, give --dtype bfloat16 or float32.")
    for regions in args.regions:
        if round(regions**0.5) ** 2 != regions:
            sys.exit(f"tools/benchmarks/pretrain_step.py: --regions {regions} is no square: give 36, 64, 100, 144.")
    return args


def measure_parts(step: TrainingStep, batch: dict, args: argparse.Namespace) -> dict[str, Any]:
    """The whole step, its towers alone, and its share of the measured peak."""
    shape = (args.batch_size, 3)
    teacher_images = torch.randn(*shape, args.teacher_size, args.teacher_size, device=DEVICE)
    student_images = torch.randn(*shape, args.size, args.size, device=DEVICE)

    def teacher() -> None:
        with step.hook.autocast():
            step.hook.teacher.dense(teacher_images)

    def student_forward() -> torch.Tensor:
        with torch.autocast(DEVICE.type, dtype=step.dtype, enabled=step.dtype is not torch.float32):
            return step.model.encoder.dense(student_images)

    def student() -> None:
        student_forward().square().sum().backward()
        step.model.zero_grad(set_to_none=True)

    times = in_turn(
        dict(step=lambda: step(batch), teacher=teacher, forward=student_forward, student=student), args.rounds
    )
    with FlopCounterMode(display=False) as flops:
        step(batch)
    peak = gemm_peak(step.dtype, args.rounds)
    step_ms, teacher_ms, student_ms = (times[name].median for name in ("step", "teacher", "student"))
    return dict(
        teacher_ms=round(teacher_ms, 1),
        student_forward_ms=round(times["forward"].median, 1),
        student_backward_ms=round(student_ms - times["forward"].median, 1),
        step_ms=round(step_ms, 1),
        step_over_parts=round(step_ms / (teacher_ms + student_ms), 3),
        images_per_second=round(1000 * args.batch_size / step_ms, 2),
        step_gflop=round(flops.get_total_flops() / 1e9, 1),
        gemm_peak_gflops=round(peak / 1e9, 1),
        share_of_gemm_peak=round(flops.get_total_flops() / (step_ms / 1000) / peak, 3),
    )


def compare(step: TrainingStep, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Our step and loader over the plain ones at equal numbers of tokens and regions, and our loader over its floor."""
    data, native = pretraining_data(folder, args.size, grid=6), step.hook.teacher.image_size
    plain_data, plain = PlainImages(folder, args.size, native), PlainStep(step, args.teacher_size)
    batch = pseudo_collate([data[i % NUM_FILES] for i in range(args.batch_size)])
    plain_batch = [plain_data[i % NUM_FILES] for i in range(args.batch_size)]
    steps = in_turn(dict(ours=lambda: step(batch), plain=lambda: plain(plain_batch)), args.rounds)

    def floor(index: int) -> None:
        image = torch.from_numpy(simplejpeg.decode_jpeg(plain_data.paths[index].read_bytes(), "BGR"))
        maps = image.permute(2, 0, 1)[None]
        torch.nn.functional.interpolate(maps, (args.size * 3 // 4, args.size), mode="bicubic", antialias=True)

    few = range(4)
    loaders = in_turn(
        dict(
            ours=lambda: [data[i] for i in few],
            plain=lambda: [plain_data[i] for i in few],
            floor=lambda: [floor(i) for i in few],
        ),
        args.rounds,
    )
    return dict(
        step_ms={name: round(times.median, 1) for name, times in steps.items()},
        step_over_plain=steps["ours"].over(steps["plain"]),
        data_ms_per_image={name: round(times.median / len(few), 2) for name, times in loaders.items()},
        data_over_plain=loaders["ours"].over(loaders["plain"]),
        data_over_decode_and_one_resize=loaders["ours"].over(loaders["floor"]),
    )


def measure_growth(step_ms: float, folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """What is neither tower, for every size of vocabulary and grid; the towers' time depends on neither.

    The whole step would hide a difference of some percent in the noise of its matrix products.
    """
    results: list[dict[str, Any]] = []
    hooks: tuple = ()
    for num_classes in args.classes:
        step = TrainingStep(args.student, args.teacher, args.size, args.dtype, num_classes, hooks)
        hooks = (step.hook,)
        for regions in args.regions:
            data = pretraining_data(folder, args.size, grid=round(regions**0.5))
            batch = pseudo_collate([data[i % NUM_FILES] for i in range(args.batch_size)])
            with step.without_towers(batch):
                rest_ms = milliseconds(lambda: step(batch), max(args.rounds, 5))  # noqa: B023
            first = results[0]["rest_ms"] if results else rest_ms
            results.append(
                dict(
                    classes=num_classes,
                    regions=regions,
                    rest_ms=round(rest_ms, 1),
                    step_grows_by=round((rest_ms - first) / step_ms, 4),
                )
            )
    return results


def measure_compiled(step: TrainingStep, batch: dict, args: argparse.Namespace) -> dict[str, Any]:
    """The compiled step over the eager one."""
    compiled = TrainingStep(args.student, args.teacher, args.teacher_size, args.dtype, args.classes[0])
    compiled.model.load_state_dict(step.model.state_dict())
    compiled.hook.teacher.load_state_dict(step.hook.teacher.state_dict())
    for encoder in (compiled.hook.teacher, compiled.model.encoder):
        encoder.compile_blocks(backend=args.backend)
    first_ms = milliseconds(lambda: compiled(batch), 1)
    times = in_turn(dict(compiled=lambda: compiled(batch), eager=lambda: step(batch)), args.rounds)
    return dict(
        backend=args.backend,
        second_step_ms=round(first_ms, 1),
        step_ms={name: round(part.median, 1) for name, part in times.items()},
        compiled_over_eager=times["compiled"].over(times["eager"]),
    )


def main() -> None:
    """Measure and print."""
    args = parse_args()
    torch.manual_seed(0)
    init_default_scope("densevlm_mm")
    stride = MODELS.build(encoder_config(args.teacher)).stride
    args.teacher_size = args.teacher_size or -(-args.size // stride) * stride
    facts = dict(
        student=args.student,
        teacher=args.teacher,
        size=args.size,
        teacher_size=args.teacher_size,
        batch_size=args.batch_size,
        dtype=args.dtype,
        device=torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu",
        threads=torch.get_num_threads(),
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_images(folder)
        data = pretraining_data(folder, args.size)
        batch = pseudo_collate([data[i % NUM_FILES] for i in range(args.batch_size)])
        step = TrainingStep(args.student, args.teacher, args.teacher_size, args.dtype, args.classes[0])
        if args.compare:
            facts |= compare(step, folder, args)
        elif args.compile:
            facts |= measure_compiled(step, batch, args)
        else:
            facts["data_ms_per_image"] = round(
                milliseconds(lambda: [data[i] for i in range(NUM_FILES)], args.rounds) / NUM_FILES, 2
            )
            facts |= measure_parts(step, batch, args)
            if len(args.classes) + len(args.regions) > 2:
                facts["growth"] = measure_growth(facts["step_ms"], folder, args)
    print(json.dumps(facts | dict(peak_memory_gb=round(peak_memory(), 2))))


if __name__ == "__main__":
    main()
