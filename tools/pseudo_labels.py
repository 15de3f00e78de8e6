r"""Write the regions that a teacher names as a COCO json: pseudo region-text pairs for configs/region_clip.

The teacher, its vocabulary, the images and their regions (grid cells or proposals) are those of a pretraining config.
Every image is read once, with the grid of its first epoch. Regions whose highest probability does not exceed the
threshold are left out.

Examples:
    python tools/pseudo_labels.py configs/tiny/densevlm.py data/tiny_scenes/annotations/pseudo_labels_train.json
    python tools/pseudo_labels.py configs/densevlm/pretrain_coco_proposals.py \
        data/coco/annotations/pseudo_labels_train2017.json --dtype bfloat16
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevlm_mm.apis.arguments import add_experiment_arguments

if TYPE_CHECKING:
    from mmengine.config import Config
    from mmengine.runner import Runner

    from densevlm_mm.datasets import RegionDataSample
    from densevlm_mm.engine.hooks import RegionTeacherHook


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="pretraining config with a teacher that answers with categories")
    parser.add_argument("out", help="json to write")
    parser.add_argument("--threshold", type=float, default=0.3, help="least probability of a region (default: 0.3)")
    parser.add_argument("--temperature", type=float, default=0.01, help="of the softmax over cosines (default: 0.01)")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="precision of the teacher")
    add_experiment_arguments(parser)
    return parser.parse_args()


def prepare(cfg: Config, dtype: str | None) -> tuple[Runner, RegionTeacherHook]:
    """Build the runner of a config and make its teacher ready.

    Raises:
        ValueError: If the config has no teacher that answers with categories, or runs in several processes.
    """
    from densevlm_mm.apis import build_runner

    if cfg.launcher != "none":
        raise ValueError("run this tool in one process; train_dataloader.dataset.dataset.indices selects images")
    cfg.train_dataloader.update(drop_last=False)
    cfg.train_dataloader.sampler.shuffle = False
    hook = naming_hook(cfg, dtype)
    runner = build_runner(cfg)
    hook.before_train(runner)
    return runner, hook


def naming_hook(cfg: Config, dtype: str | None) -> RegionTeacherHook:
    """The config's hook that writes ``teacher_logits``; its teacher is not built yet.

    Raises:
        ValueError: If there is none.
    """
    from mmengine.registry import init_default_scope

    from densevlm_mm.engine.hooks import RegionTeacherHook
    from densevlm_mm.registry import HOOKS

    init_default_scope(cfg.default_scope)
    for options in filter(None, (*cfg.default_hooks.values(), *cfg.get("custom_hooks", ()))):
        if issubclass(HOOKS.get(options.type), RegionTeacherHook):
            # No cache: it may lack regions that this tool's threshold keeps.
            options = {key: value for key, value in options.items() if key != "cache"}
            hook = HOOKS.build(dict(options, **({} if dtype is None else dict(dtype=dtype))))
            if "teacher_logits" in hook.region_targets:
                return hook
    raise ValueError(
        f"no hook of {cfg.filename} names regions: take a config with a RegionRetrievalHook, or a CropTeacherHook with "
        "with_logits=True"
    )


def named_regions(
    sample: RegionDataSample, temperature: float, threshold: float
) -> Iterator[tuple[list[float], int, float]]:
    """Yield the regions that the teacher is sure of: box (x, y, width, height in source pixels), class, probability."""
    import torch

    from densevlm_mm.models.layers import retrieve

    found = retrieve(sample.regions.teacher_logits, temperature, threshold)
    (pad_h, pad_w), (scale_x, scale_y) = sample.pad_shape, sample.scale_factor
    to_source = torch.tensor([pad_w / scale_x, pad_h / scale_y] * 2, dtype=torch.float64)
    boxes_xyxy = sample.regions.boxes_norm_xyxy.double().cpu() * to_source
    boxes_xywh = torch.cat([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], dim=1)
    kept = found.kept.cpu()
    for box, label, confidence in zip(
        boxes_xywh[kept].tolist(), found.labels[kept].tolist(), found.confidences[kept].tolist(), strict=True
    ):
        yield [round(value, 2) for value in box], label, confidence


def pseudo_labels(runner: Runner, hook: RegionTeacherHook, temperature: float, threshold: float) -> dict[str, Any]:
    """Let the teacher name all regions of the training images.

    Returns:
        A COCO json: images, annotations with scores, categories (all classes of the vocabulary) with thing flags.
    """
    from mmengine.utils import track_iter_progress

    embeddings = runner.model.class_embeddings
    loader = runner.build_dataloader(runner.cfg.train_dataloader, seed=runner.seed)
    prefix = runner.cfg.train_dataloader.dataset.dataset
    folder = os.path.join(prefix.get("data_root", ""), (prefix.get("data_prefix") or {}).get("img", ""))
    images: list[dict] = []
    annotations: list[dict] = []
    for batch in track_iter_progress((loader, len(loader))):
        hook.before_train_iter(runner, 0, batch)
        for sample in batch["data_samples"]:
            height, width = sample.ori_shape
            name = sample.img_id if isinstance(sample.img_id, str) else os.path.relpath(sample.img_path, folder)
            images.append(dict(id=sample.img_id, file_name=name, height=height, width=width))
            for bbox, label, score in named_regions(sample, temperature, threshold):
                annotations.append(
                    dict(
                        id=len(annotations) + 1,
                        image_id=sample.img_id,
                        bbox=bbox,
                        area=bbox[2] * bbox[3],
                        iscrowd=0,
                        category_id=label + 1,
                        score=round(score, 4),
                    )
                )
    flags = embeddings.thing_mask.tolist() if embeddings.is_thing is not None else [None] * len(embeddings)
    categories = [
        dict(id=label + 1, name=name) | ({} if thing is None else dict(isthing=int(thing)))
        for label, (name, thing) in enumerate(zip(embeddings.classes, flags, strict=True))
    ]
    return dict(images=images, annotations=annotations, categories=categories)


def main() -> None:
    """Write the file, and say how many regions it has."""
    args = parse_args()

    from densevlm_mm.apis import check_inputs, exit_on_user_error, load_experiment
    from densevlm_mm.models.layers import check_retrieval

    with exit_on_user_error("tools/pseudo_labels.py"):
        work_dir = args.work_dir or "work_dirs/pseudo_labels"
        cfg = load_experiment(args.config, args.cfg_options, work_dir, args.launcher)
        check_inputs(cfg, "train")
        check_retrieval(args.temperature, args.threshold)
        content = pseudo_labels(*prepare(cfg, args.dtype), args.temperature, args.threshold)
        Path(args.out).write_text(json.dumps(content))
    print(f"wrote {args.out}: {len(content['annotations'])} regions of {len(content['images'])} images")


if __name__ == "__main__":
    main()
