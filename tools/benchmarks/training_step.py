"""Pretraining as the benchmarks run it: random weights and noise, which change no time, through the trainer's parts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import ConfigDict
from timing import DEVICE
from torch import Tensor

from densevlm_mm.datasets import UnlabeledImageDataset
from densevlm_mm.engine.hooks import RegionRetrievalHook
from densevlm_mm.engine.optim_wrappers import AutocastOptimWrapper, FiniteOptimWrapper
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.registry import MODELS

NUM_FILES = 16


def random_embeddings(num_classes: int, dim: int, model: str, last: str | None = None) -> ClassEmbeddings:
    """Embeddings of a vocabulary that is two thirds things.

    Args:
        num_classes: Number of classes.
        dim: Width of the joint space.
        model: Open_clip name.
        last: Name of the last class.
    """
    names = [f"class {i}" for i in range(num_classes)]
    return ClassEmbeddings(
        name="benchmark",
        classes=tuple(names if last is None else [*names[:-1], last]),
        is_thing=np.arange(num_classes) < 2 * num_classes // 3,
        embeddings=torch.nn.functional.normalize(torch.randn(num_classes, dim), dim=-1),
        model=model,
        templates="plain",
        normalization="class",
        fingerprint="",
    )


def write_images(folder: Path) -> None:
    """Write NUM_FILES JPEG files of 640x480 smooth noise."""
    rng = np.random.default_rng(0)
    for i in range(NUM_FILES):
        noise = cv2.resize(rng.integers(0, 255, (60, 80, 3), dtype=np.uint8), (640, 480), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{i}.jpg"), noise)


def pretraining_data(folder: Path, size: int, grid: int | None = None) -> UnlabeledImageDataset:
    """Images of a folder behind the pretraining pipeline.

    Args:
        folder: With images.
        size: Canvas in pixels.
        grid: Side of the grid of regions; default: random as in training, up to 6.
    """
    regions = dict(mode="balanced", max_grid=6) if grid is None else dict(mode="all", min_grid=grid, max_grid=grid)
    pipeline = [
        dict(type="LoadImage"),
        dict(type="ResizeLongestSide", size=size),
        dict(type="GridRegions", **regions),
        dict(type="PadToSquare", size=size),
        dict(type="PackRegionInputs"),
    ]
    return UnlabeledImageDataset(source=str(folder), pipeline=pipeline)


def encoder_config(name: str, **options: Any) -> dict[str, Any]:
    """Config of an encoder with random weights."""
    return dict(type="DenseImageEncoder", model_name=name, checkpoint="random", **options)


def embed_dim(name: str) -> int:
    """Width of the joint space of an architecture."""
    return MODELS.build(encoder_config(name)).embed_dim


class TrainingStep:
    """One training iteration: the teacher hook, then the model's ``train_step`` with the optimizer wrapper.

    Args:
        student: Open_clip name.
        teacher: Open_clip name.
        teacher_size: The teacher's canvas in pixels.
        dtype: Autocast type, or float32 for none.
        num_classes: Size of the vocabulary.
        teacher_hooks: Of other steps, with whom the teacher is shared.
    """

    def __init__(
        self,
        student: str,
        teacher: str,
        teacher_size: int,
        dtype: str,
        num_classes: int,
        teacher_hooks: tuple[RegionRetrievalHook, ...] = (),
    ) -> None:
        self.dtype = getattr(torch, dtype)
        self.hook = RegionRetrievalHook(
            encoder_config(teacher),
            random_embeddings(num_classes, embed_dim(teacher), teacher),
            input_size=teacher_size,
            dtype=dtype,
        )
        self.model = RegionPretrainer(
            encoder_config(student, trainable="blocks"),
            dict(type="DecoupledAlignmentLoss", threshold=0.0),
            random_embeddings(num_classes, embed_dim(student), student),
        )
        self.model.to(DEVICE).train()
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)
        self.optim_wrapper: FiniteOptimWrapper
        if self.dtype is torch.float32:
            self.optim_wrapper = FiniteOptimWrapper(optimizer)
        else:
            self.optim_wrapper = AutocastOptimWrapper(optimizer, dtype=dtype)
        hooks = [*teacher_hooks, self.hook]
        self.hook.before_train(
            SimpleNamespace(
                model=self.model, cfg=ConfigDict(model=dict()), optim_wrapper=self.optim_wrapper, hooks=hooks
            )
        )

    def __call__(self, batch: dict) -> dict[str, Tensor]:
        """Train on a collated batch, which stays as it is; return the figures of the log."""
        batch = dict(batch, data_samples=[sample.clone() for sample in batch["data_samples"]])
        self.hook.before_train_iter(None, 0, batch)
        return self.model.train_step(batch, self.optim_wrapper)

    @contextmanager
    def without_towers(self, batch: dict) -> Iterator[None]:
        """Within the block let the step find the towers' maps computed: what is left are regions, text and loss."""
        with torch.no_grad(), self.hook.autocast():
            images = torch.stack(batch["inputs"]).to(DEVICE).float()
            maps = [tower.dense(images) for tower in (self.hook.teacher, self.model.encoder)]
        student_map = maps[1].clone().requires_grad_()
        teacher, self.hook.teacher = (
            self.hook.teacher,
            SimpleNamespace(dense=lambda _: maps[0], normalize=lambda images: images),
        )
        self.model.encoder.dense = lambda _: student_map
        step, self.optim_wrapper.step = self.optim_wrapper.step, lambda **_: None
        try:
            yield
        finally:
            self.hook.teacher = teacher
            self.optim_wrapper.step = step
            del self.model.encoder.dense
