"""CLIPSelf (Wu et al., arXiv 2310.01403) in a few lines of plain torch, to make the tiny teacher.

``configs/tiny`` trains the same with the runner, hooks and losses of the package; this tool needs none of them, so
that the teacher's weights do not depend on the code that they are used to test.
"""

import copy
import math

import numpy as np
import torch
from region_accuracy import normalise
from torch import nn
from torch.nn import functional
from torchvision.ops import roi_align

from densevlm_mm.datasets.tiny_scenes import LoadedSplit
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.layers.region_pooling import pool_boxes

STEPS = 150
BATCH_SIZE = 24
LEARNING_RATE = 1e-4
WEIGHT_DECAY = 0.1
MAX_GRID = 3
MAX_CROPS = 8  # an image, chosen among its grid cells


def random_cells(rng: np.random.Generator) -> torch.Tensor:
    """Up to `MAX_CROPS` cells (R, 4) of a random m x n grid, 2 <= m, n <= `MAX_GRID`, corners in [0, 1]."""
    rows, columns = rng.integers(2, MAX_GRID + 1, 2)
    cells = [(j / columns, i / rows, (j + 1) / columns, (i + 1) / rows) for i in range(rows) for j in range(columns)]
    return torch.tensor([cells[index] for index in rng.permutation(len(cells))[:MAX_CROPS]], dtype=torch.float32)


def refine(model: nn.Module, data: LoadedSplit, seed: int, steps: int = STEPS) -> nn.Module:
    """Teach the dense features of image cells the frozen model's embedding of the enlarged cells.

    Args:
        model: A tiny CLIP; its transformer blocks are trained in place.
        data: Training images; labels are not used.
        seed: Seed of images and cells.
        steps: Optimiser steps.

    Returns:
        ``model``, in evaluation mode.
    """
    rng = np.random.default_rng([seed, 5])
    teacher = DenseImageEncoder(clip_model=copy.deepcopy(model)).eval()
    student = DenseImageEncoder(clip_model=model, trainable="blocks").train()
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, betas=(0.9, 0.98), weight_decay=WEIGHT_DECAY)
    size = data.images.shape[1]
    for step in range(steps):
        rate = min((step + 1) / 10, (1 + math.cos(math.pi * step / steps)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * rate
        images = normalise(data.images[rng.choice(len(data.images), min(BATCH_SIZE, len(data.images)), replace=False)])
        cells = [random_cells(rng) for _ in images]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            crops = roi_align(images, [c * size for c in cells], size, aligned=True)
            target = teacher(crops).float()
        with torch.autocast("cpu", torch.bfloat16):
            maps = student.dense(images)
        loss = 1 - functional.cosine_similarity(pool_boxes(maps, cells), target).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"refinement step {step} loss {loss.item():.4f}", flush=True)
    return model.eval()
