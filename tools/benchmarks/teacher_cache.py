"""Measure what the teacher cache saves: epochs without, with an empty and with a filled cache; prints one JSON line.

Weights are random and images are noise: neither changes the time. The three runs take their steps in turn, in one
process, so that their ratios hold on a noisy machine; on the CPU the process's own time counts, not that of the clock.
Loading and decoding images is not counted, it is the same for all.

Examples:
    OMP_NUM_THREADS=1 python tools/benchmarks/teacher_cache.py --dtype bfloat16
    OMP_NUM_THREADS=1 python tools/benchmarks/teacher_cache.py --student TinyScenes-S --teacher TinyScenes-T --size 64 \
        --batch-size 16 --images 16 --num-classes 32
"""

import argparse
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from timing import DEVICE, clock
from training_step import pretraining_data, random_embeddings, write_images

from densevlm_mm.datasets import SeededDataset
from densevlm_mm.datasets.samplers import SampleIndex
from densevlm_mm.engine.hooks import RegionRetrievalHook
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.registry import MODELS


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--student", default="EVA02-B-16", help="open_clip name")
    parser.add_argument("--teacher", default="EVA02-L-14-336", help="open_clip name")
    parser.add_argument("--size", type=int, default=512, help="canvas in pixels")
    parser.add_argument("--images", type=int, default=2, help="number of images, at most 15")
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32", help="autocast type")
    parser.add_argument("--num-classes", type=int, default=316)
    parser.add_argument(
        "--min-threshold", type=float, default=0.0, help="of the cache; 0 keeps everything, the most that is ever read"
    )
    return parser.parse_args()


class Run:
    """A training whose teacher and whole steps are timed."""

    def __init__(self, model: RegionPretrainer, hook: RegionRetrievalHook, dtype: torch.dtype) -> None:
        self.model, self.hook, self.dtype = model, hook, dtype
        self.optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
        self.step_seconds = self.teacher_seconds = 0.0
        self.losses: list[float] = []

    def step(self, batch: dict) -> None:
        """Take one training step."""
        batch = dict(batch, data_samples=[sample.clone() for sample in batch["data_samples"]])
        began = clock()
        self.hook.before_train_iter(None, 0, batch)
        self.teacher_seconds += clock() - began
        data = self.model.data_preprocessor(batch, training=True)
        with torch.autocast(DEVICE.type, dtype=self.dtype, enabled=self.dtype is not torch.float32):
            loss = self.model(**data, mode="loss")["loss"]
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step_seconds += clock() - began
        self.losses.append(float(loss.detach()))


def build_runs(args: argparse.Namespace, dataset: Any, folder: Path) -> dict[str, Run]:
    """Build the trainings without a cache and with two caches; students start equal, the teacher is one."""

    def encoder(name: str, **options: str) -> dict:
        return dict(type="DenseImageEncoder", model_name=name, checkpoint="random", **options)

    teacher = MODELS.build(encoder(args.teacher))
    side, teacher_dim = -(-args.size // teacher.stride) * teacher.stride, teacher.embed_dim
    text = random_embeddings(args.num_classes, teacher_dim, args.teacher)
    del teacher
    loss = dict(type="DecoupledAlignmentLoss", threshold=args.min_threshold)
    caches = dict(
        without=None,
        empty=dict(path=str(folder / "empty"), min_threshold=args.min_threshold),
        filled=dict(path=str(folder / "filled"), min_threshold=args.min_threshold),
    )
    hooks = [
        RegionRetrievalHook(encoder(args.teacher), text, input_size=side, dtype=args.dtype, cache=cache)
        for cache in caches.values()
    ]
    student_dim = MODELS.build(encoder(args.student)).embed_dim
    embeddings = random_embeddings(args.num_classes, student_dim, args.student)
    runs = {}
    for name, hook in zip(caches, hooks, strict=True):
        torch.manual_seed(0)
        model = RegionPretrainer(encoder(args.student, trainable="blocks"), loss, embeddings).to(DEVICE).train()
        hook.before_train(
            SimpleNamespace(
                model=model,
                cfg=ConfigDict(model=dict()),
                optim_wrapper=SimpleNamespace(),
                hooks=hooks,
                train_dataloader=SimpleNamespace(dataset=dataset),
            )
        )
        runs[name] = Run(model, hook, getattr(torch, args.dtype))
    return runs


def main() -> None:
    """Measure and print."""
    args = parse_args()
    init_default_scope("densevlm_mm")
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "images").mkdir()
        write_images(folder / "images")
        dataset = SeededDataset(pretraining_data(folder / "images", args.size), seed=0)
        runs = build_runs(args, dataset, folder)

        def batches(epoch: int) -> list[dict]:
            items = [dataset[SampleIndex(i, epoch)] for i in range(args.images)]
            size = args.batch_size
            return [pseudo_collate(items[start : start + size]) for start in range(0, len(items), size)]

        for batch in batches(0):
            runs["filled"].hook.before_train_iter(None, 0, batch)
        other_image = pseudo_collate([dataset[SampleIndex(args.images, 0)]])
        for run in runs.values():  # not counted: the first step is slower
            run.step(other_image)
            run.step_seconds = run.teacher_seconds = 0.0
        for epoch in range(args.epochs):
            for batch in batches(epoch):
                for run in runs.values():
                    run.step(batch)
        plain, images = runs["without"], args.images * args.epochs
        store = runs["filled"].hook.cache.store
        num_bytes = sum(path.stat().st_size for path in store.folder.glob("*.records")) / len(store)
        cells = runs["filled"].hook.cache.pipeline.num_cells
        print(
            json.dumps(
                dict(
                    student=args.student,
                    teacher=args.teacher,
                    size=args.size,
                    images=args.images,
                    batch_size=args.batch_size,
                    epochs=args.epochs,
                    dtype=args.dtype,
                    device=str(DEVICE),
                    ms_per_image={name: round(1000 * run.step_seconds / images, 1) for name, run in runs.items()},
                    teacher_share=round(plain.teacher_seconds / plain.step_seconds, 3),
                    empty_over_without=round(runs["empty"].step_seconds / plain.step_seconds, 3),
                    filled_over_without=round(runs["filled"].step_seconds / plain.step_seconds, 3),
                    read_ms_per_image=round(1000 * runs["filled"].teacher_seconds / images, 3),
                    bytes_per_image=round(num_bytes),
                    bytes_per_image_of_whole_logits=cells * args.num_classes * 4,
                    equal_losses=runs["empty"].losses == runs["filled"].losses == plain.losses,
                )
            )
        )


if __name__ == "__main__":
    main()
