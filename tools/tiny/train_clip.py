"""Train a tiny CLIP on TinyScenes from nothing.

    python tools/tiny/train_clip.py data/tiny_scenes student.safetensors --model TinyScenes-S

Contrastive image-caption learning plus a classification over the class prompts, on captions that hardly ever mention
stuff: the result has the foreground bias that DenseVLM is about. Run it with one thread (OMP_NUM_THREADS=1).
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from timm.layers import PatchDropout
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from densevlm_mm.models.clip import build_clip, build_tokenizer, export_open_clip, resolve_architecture
from densevlm_mm.tiny_scenes import CLASS_NAMES, THING_NAMES, LoadedSplit, load_tiny_scenes
from densevlm_mm.tiny_scenes.captions import compose_caption, mentioned_classes
from densevlm_mm.tiny_scenes.clip import STUDENT_NAME, TEACHER_NAME
from densevlm_mm.vocabulary import prompts_for


@dataclass(frozen=True)
class Recipe:
    """What differs between the two CLIPs.

    Attributes:
        steps: Optimiser steps.
        p_stuff: Probability that a caption mentions one stuff class beside the things.
        empty_share: Share of the thing-free images that is trained on.
    """

    steps: int
    p_stuff: float
    empty_share: float


# The student stops while stuff is still mostly called a thing. The teacher hears of stuff more often, since CLIPSelf
# brings to the regions only what the global embedding knows (refined Masks-S: 44 with 0.25 and 0.8, 59 with 0.4, 1.0).
RECIPES = {STUDENT_NAME: Recipe(220, 0.14, 0.4), TEACHER_NAME: Recipe(550, 0.4, 1.0)}
_THINGS = frozenset(THING_NAMES)
LOGIT_SCALE = 100.0  # fixed, so that tau = 0.01 and theta = 0.3 mean on TinyScenes what they mean with a real CLIP
TOKEN_DROP = 0.5
BATCH_SIZE = 128


def normalise(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) RGB -> float32 (B, 3, H, W) as the encoders expect it."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    return (pixels - mean) / std


def train(
    model: Any, tokenizer: Callable[..., torch.Tensor], data: LoadedSplit, recipe: Recipe, seed: int
) -> nn.Module:
    """Train from nothing; returns the model in evaluation mode."""
    rng = np.random.default_rng([seed, 4])
    trunk = model.visual.trunk
    trunk.patch_drop = PatchDropout(TOKEN_DROP, num_prefix_tokens=0)
    for block in trunk.blocks:
        block.attn.fused_attn = False
    model.logit_scale.data.fill_(np.log(LOGIT_SCALE))
    optimizers = _optimizers(model)
    usable = _usable_images(data, recipe, rng)
    prompts = tokenizer([prompt for name in CLASS_NAMES for prompt in prompts_for(name, "tiny_scenes")])
    model.train().to(memory_format=torch.channels_last)
    for step in range(recipe.steps):
        rate = min((step + 1) / 30, (recipe.steps - step) / recipe.steps)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * rate
        picked = rng.choice(usable, BATCH_SIZE, replace=False)
        named = [mentioned_classes(data.segment_labels[i], rng, p_stuff=recipe.p_stuff) for i in picked]
        texts = torch.cat([tokenizer([compose_caption(labels, rng) for labels in named]), prompts])
        images = normalise(data.images[picked]).contiguous(memory_format=torch.channels_last)
        flip = torch.from_numpy(rng.random(BATCH_SIZE) < 0.5)
        images = torch.where(flip[:, None, None, None], images.flip(-1), images)
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            image_BD, text_TD = model.encode_image(images), model.encode_text(texts)
        loss = _caption_loss(image_BD.float(), text_TD.float(), named)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        if step % 50 == 0:
            print(f"step {step} loss {loss.item():.3f}", flush=True)
    trunk.patch_drop = nn.Identity()
    return model.eval()


def _caption_loss(image_BD: torch.Tensor, text_TD: torch.Tensor, named: list[list[int]]) -> torch.Tensor:
    """InfoNCE between images and captions plus a multi-positive softmax over the class prompts."""
    image_BD, text_TD = functional.normalize(image_BD, dim=-1), functional.normalize(text_TD, dim=-1)
    caption_BD, prompt_PD = text_TD[: len(named)], text_TD[len(named) :]
    mentions_BK = torch.zeros(len(named), len(CLASS_NAMES))
    for row, labels in enumerate(named):
        mentions_BK[row, labels] = 1
    # Captions that mention the same classes are no negatives of each other.
    same_BB = (mentions_BK[:, None] == mentions_BK[None]).all(-1).float()
    same_BB = same_BB / same_BB.sum(1, keepdim=True)
    logits_BB = LOGIT_SCALE * image_BD @ caption_BD.T
    contrastive = functional.cross_entropy(logits_BB, same_BB) + functional.cross_entropy(logits_BB.T, same_BB)
    prompt_KPD = prompt_PD.view(len(CLASS_NAMES), -1, prompt_PD.shape[-1])
    logits_PBK = LOGIT_SCALE * torch.einsum("bd,kpd->pbk", image_BD, prompt_KPD)
    target_BK = mentions_BK / mentions_BK.sum(1, keepdim=True)
    classification = -(target_BK * logits_PBK.log_softmax(-1)).sum(-1).mean()
    return contrastive / 2 + classification


def _usable_images(data: LoadedSplit, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Indices of the images with a thing and of a share of those with stuff alone."""
    with_thing = np.array([any(CLASS_NAMES[c] in _THINGS for c in labels) for labels in data.segment_labels])
    with_any = np.array([bool(labels) for labels in data.segment_labels])
    kept = rng.random(len(with_thing)) < recipe.empty_share
    return np.flatnonzero(with_thing | (with_any & kept))


def _optimizers(model: nn.Module) -> list[torch.optim.Optimizer]:
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if name == "logit_scale":
            parameter.requires_grad_(False)
        elif parameter.ndim == 2 and "embed" not in name:
            matrices.append(parameter)
        else:
            others.append(parameter)
    muon = torch.optim.Muon(matrices, lr=0.01)
    adam = torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05)
    for optimizer, rate in ((muon, 0.01), (adam, 1e-3)):
        for group in optimizer.param_groups:
            group["base_lr"] = rate
    return [muon, adam]


def save(model: nn.Module, model_name: str, path: Path) -> None:
    """Write bfloat16 weights in open_clip's layout, with the metadata that the package's loader reads."""
    weights = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in model.state_dict().items()}
    export_open_clip(path, weights, resolve_architecture(model_name))


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="TinyScenes folder, made by tools/dataset_converters/tiny_scenes.py")
    parser.add_argument("out", type=Path, help="safetensors file to write")
    parser.add_argument("--model", choices=sorted(RECIPES), default=STUDENT_NAME)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="instead of the recipe's number of steps")
    parser.add_argument(
        "--p-stuff",
        type=float,
        metavar="P",
        help="share of captions of things that mention stuff too, instead of the recipe's",
    )
    return parser.parse_args()


def main() -> None:
    """Train and save."""
    args = parse_args()
    torch.manual_seed(args.seed)
    model = build_clip(args.model, "random")
    tokenizer = build_tokenizer(args.model)
    recipe = RECIPES[args.model]
    if args.steps:
        recipe = replace(recipe, steps=args.steps)
    if args.p_stuff is not None:
        recipe = replace(recipe, p_stuff=args.p_stuff)
    data = load_tiny_scenes(args.data, "train")
    start = time.process_time()
    train(model, tokenizer, data, recipe, args.seed)
    print(f"trained in {time.process_time() - start:.0f} CPU seconds")
    save(model, args.model, args.out)


if __name__ == "__main__":
    main()
