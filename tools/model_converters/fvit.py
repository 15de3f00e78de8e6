"""Convert a published F-ViT detector (CLIPSelf, mmdet 2.x) to a checkpoint of our F-ViT, and say what was dropped.

The weights' licence is their authors' (non-commercial).

Example:
    python tools/model_converters/fvit.py configs/fvit/ov-coco_b16_clipself.py published.pth weights/fvit_b16.pth
    python tools/test.py configs/fvit/ov-coco_b16_clipself.py weights/fvit_b16.pth
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

from densevlm_mm.files import atomic_write

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="config of the same architecture and data set")
    parser.add_argument("published", help="published detector checkpoint")
    parser.add_argument("out", help="file to write, ending in .pth")
    return parser.parse_args()


def build_empty(cfg: Config) -> nn.Module:
    """Build a config's detector without weights: its names and shapes are what counts."""
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import init_default_scope

    init_default_scope(cfg.default_scope)
    cfg.model.backbone.encoder.checkpoint = "random"
    with torch.device("meta"):
        return MODELS.build(cfg.model)


def main() -> None:
    """Convert, and report."""
    args = parse_args()

    import torch

    from densevlm_mm.apis import exit_on_user_error, load_experiment
    from densevlm_mm.checkpoint_files import check_finite, find_state_dict, read_checkpoint

    with exit_on_user_error("tools/model_converters/fvit.py"):
        from densevlm_mm.models.detectors.fvit_checkpoints import convert_fvit

        if not args.out.endswith(".pth"):
            raise ValueError(f"{args.out}: a checkpoint's name ends in .pth.")
        source = f"checkpoint {args.published!r}"
        published = find_state_dict(read_checkpoint(args.published).content, source)
        check_finite(published, source)
        conversion = convert_fvit(published, build_empty(load_experiment(args.config)), args.published)
        with atomic_write(args.out) as partial:
            torch.save(dict(state_dict=conversion.state_dict, meta={}), partial)
    print(f"wrote {args.out}: {len(conversion.state_dict)} tensors")
    for reason, count in Counter(conversion.dropped.values()).items():
        names = [name for name, why in conversion.dropped.items() if why == reason]
        print(f"dropped {count} ({reason}): {', '.join(names[:4])}{', ...' if count > 4 else ''}")


if __name__ == "__main__":
    main()
