"""Measure what a prediction takes: region classification, F-ViT, SAN and CAT-Seg at their published sizes.

Weights, images and class embeddings are random, and the text tower does not run: a test encodes each class once. Prints
one line of JSON for each measurement; peak memory is that of the whole process on the CPU, so measure one model a run
there, and that of the predictions on a GPU.

Examples:
    python tools/benchmarks/inference.py regions --encoder EVA02-B-16 --sizes 512
    python tools/benchmarks/inference.py fvit --sizes 640 1024
    python tools/benchmarks/inference.py san --classes 150 847
    python tools/benchmarks/inference.py cat_seg --classes 150 847 --dtype bfloat16 --compile
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import InstanceData
from timing import DEVICE, in_turn, peak_memory
from torch import nn
from training_step import embed_dim, encoder_config, random_embeddings

from densevlm_mm.compat.cpu_distributed import adapt_config_to_cpu
from densevlm_mm.engine.hooks import CompileHook
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.structures import RegionDataSample

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
DEFAULTS = dict(regions=([512], [133]), fvit=([640], [65]), san=([640], [150]), cat_seg=([640], [150]))


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(DEFAULTS))
    parser.add_argument("--encoder", default="EVA02-B-16", help="open_clip name, of regions alone")
    parser.add_argument("--sizes", type=int, nargs="+", help="sides of the (square) images; of cat_seg the squares'")
    parser.add_argument("--classes", type=int, nargs="+", help="sizes of the vocabulary")
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], default="float32", help="autocast type")
    parser.add_argument("--compile", action="store_true", help="compile the towers, where they are DenseImageEncoders")
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds, after one that is not")
    args = parser.parse_args()
    sizes, classes = DEFAULTS[args.model]
    args.sizes, args.classes = args.sizes or sizes, args.classes or classes
    return args


def load_config(name: str) -> Any:
    """Model of a config, for this machine."""
    cfg = Config.fromfile(CONFIGS / name)
    if DEVICE.type == "cpu":
        adapt_config_to_cpu(cfg)
    return cfg.model


def build_regions(args: argparse.Namespace, size: int, num_classes: int) -> tuple[nn.Module, Callable[[], Any]]:
    """Classification of 20 boxes and masks an image."""
    init_default_scope("densevlm_mm")
    text = random_embeddings(num_classes, embed_dim(args.encoder), args.encoder)
    loss = dict(type="DecoupledAlignmentLoss")
    model = MODELS.build(
        dict(type="RegionPretrainer", encoder=encoder_config(args.encoder), loss=loss, class_embeddings=text)
    )
    cells = size // model.encoder.stride

    def sample() -> RegionDataSample:
        boxes = torch.tensor([[0.1, 0.1, 0.6, 0.5]]).repeat(20, 1)
        masks = torch.ones(20, cells, cells, dtype=torch.bool)
        regions = InstanceData(boxes_norm_xyxy=boxes, masks=masks, labels=torch.zeros(20, dtype=torch.long))
        return RegionDataSample(gt_regions=regions)

    return model, sample


def build_fvit(args: argparse.Namespace, size: int, num_classes: int) -> tuple[nn.Module, Callable[[], Any]]:
    """F-ViT B/16; boxes of random scores, the most that the settings let through."""
    import densevlm_mm.detection  # noqa: F401

    init_default_scope("mmdet")
    from mmdet.structures import DetDataSample

    cfg = load_config("fvit/ov-coco_b16_densevlm.py")
    cfg.data_preprocessor.pad_size_divisor = size
    encoder, head = cfg.backbone.encoder, cfg.roi_head.bbox_head
    encoder.checkpoint = "random"
    head.num_classes, head.novel_classes = num_classes, ()
    head.class_embeddings = random_embeddings(num_classes + 1, 512, encoder.model_name, last="background")
    meta = dict(img_shape=(size, size), ori_shape=(size, size), scale_factor=(1.0, 1.0), pad_shape=(size, size))
    return MODELS.build(cfg), lambda: DetDataSample(metainfo=meta)


def build_san(args: argparse.Namespace, size: int, num_classes: int) -> tuple[nn.Module, Callable[[], Any]]:
    """SAN B/16."""
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")
    from mmseg.structures import SegDataSample

    cfg = load_config("san/san_vit-b16_densevlm_80k.py")
    cfg.clip.checkpoint = "random"
    cfg.class_embeddings, cfg.test_class_embeddings = (
        random_embeddings(number, 512, cfg.clip.model_name) for number in (171, num_classes)
    )
    meta = dict(img_shape=(size, size), ori_shape=(size, size))
    return MODELS.build(cfg), lambda: SegDataSample(metainfo=meta)


def build_cat_seg(args: argparse.Namespace, size: int, num_classes: int) -> tuple[nn.Module, Callable[[], Any]]:
    """CAT-Seg B/16 in its published protocol, without the scores of all classes at the original size."""
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")
    from mmseg.structures import SegDataSample

    cfg = load_config("cat_seg/cat-seg_vit-b16_a847.py")
    cfg.image_encoder.checkpoint = cfg.text_encoder.checkpoint = "random"
    cfg.test_vocabulary = [f"class {i}" for i in range(num_classes)]
    cfg.test_cfg.size = size
    model = MODELS.build(cfg)
    text = torch.randn(num_classes, 1, model.text_encoder.embed_dim, device=DEVICE)
    text = torch.nn.functional.normalize(text, dim=-1)
    model.text_encoder.cached = lambda prompts: text
    return model, lambda: SegDataSample(metainfo=dict(ori_shape=(size, size)))


BUILDERS = dict(regions=build_regions, fvit=build_fvit, san=build_san, cat_seg=build_cat_seg)


def measure(args: argparse.Namespace, size: int, num_classes: int) -> dict[str, Any]:
    """Time and memory of a prediction."""
    torch.manual_seed(0)
    model, sample = BUILDERS[args.model](args, size, num_classes)
    model = model.to(DEVICE).eval()
    if args.compile:
        for encoder in model.modules():
            if isinstance(encoder, DenseImageEncoder):
                encoder.compile_blocks(**CompileHook().options)
    images = [torch.randint(0, 256, (3, size, size), dtype=torch.uint8) for _ in range(args.batch_size)]
    dtype = getattr(torch, args.dtype)

    def predict() -> None:
        batch = dict(inputs=list(images), data_samples=[sample() for _ in images])
        with torch.no_grad(), torch.autocast(DEVICE.type, dtype=dtype, enabled=dtype is not torch.float32):
            model.test_step(batch)

    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    times = in_turn({"": predict}, args.rounds)[""]
    return dict(
        model=args.model,
        size=size,
        classes=num_classes,
        batch_size=args.batch_size,
        dtype=args.dtype,
        compile=args.compile,
        device=torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu",
        ms=round(times.median, 1),
        ms_min_max=[round(min(times.rounds), 1), round(max(times.rounds), 1)],
        peak_memory_gb=round(peak_memory(), 2),
    )


def main() -> None:
    """Measure and print."""
    args = parse_args()
    for size in args.sizes:
        for num_classes in args.classes:
            print(json.dumps(measure(args, size, num_classes)), flush=True)


if __name__ == "__main__":
    main()
