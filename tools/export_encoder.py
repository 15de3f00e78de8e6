"""Write the encoder of a training checkpoint as safetensors in open_clip layout, with its model name inside.

The weights are the ensemble alpha * trained + (1 - alpha) * initial that tools/test.py evaluates. The text tower comes
from the CLIP weights that training started from, so that plain open_clip loads the file too.

Examples:
    python tools/export_encoder.py work_dirs/pretrain_coco/iter_11088.pth weights/densevlm_eva02_b16.safetensors
    python tools/export_encoder.py work_dirs/densevlm/iter_300.pth tiny.safetensors --image-only
"""

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from densevlm_mm.apis import exit_on_user_error
from densevlm_mm.models.clip import build_clip, export_open_clip, read_state_dict


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="checkpoint of tools/train.py with a pretraining config")
    parser.add_argument("out", help="file to write, ending in .safetensors")
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--text-from", metavar="FILE", help="CLIP weights with the text tower; default: those training started from"
    )
    group.add_argument("--image-only", action="store_true", help="leave the text tower out (plain open_clip needs it)")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16", "float16"], default="float32", help="stored precision"
    )
    return parser.parse_args()


def export(
    checkpoint: str, out: str, text_from: str | None = None, image_only: bool = False, dtype: str = "float32"
) -> None:
    """Export an encoder.

    Args:
        checkpoint: Training checkpoint.
        out: File to write.
        text_from: CLIP weights with the text tower; default: those that training started from.
        image_only: Leave the text tower out.
        dtype: Stored precision of floating-point tensors.

    Raises:
        FileNotFoundError: If the checkpoint, or the weights with the text tower, do not exist.
        ValueError: If the checkpoint does not come from a pretraining run, or the parts do not fit.
    """
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(f"there is no checkpoint {checkpoint}.")
    visual = {name: value for name, value in read_state_dict(checkpoint).items() if name.startswith("visual.")}
    content = torch.load(checkpoint, map_location="cpu", mmap=True, weights_only=True)
    if "encoder" not in content:
        raise ValueError(
            f"{checkpoint} does not say what its encoder is: it was not saved by tools/train.py with a pretraining "
            "config."
        )
    encoder = content["encoder"]
    model_cfg = json.loads(encoder["model_cfg"])
    state_dict = visual if image_only else _with_text_tower(visual, encoder, text_from)
    state_dict = {k: v.to(getattr(torch, dtype)) if v.is_floating_point() else v for k, v in state_dict.items()}
    export_open_clip(out, state_dict, encoder["model_name"], model_cfg)


def _with_text_tower(visual: dict[str, Tensor], encoder: dict[str, str], text_from: str | None) -> dict[str, Tensor]:
    source = text_from or encoder["checkpoint"]
    is_file = not source.startswith(("open_clip:", "hf-hub:"))
    if not source or (is_file and not Path(source).is_file()):
        raise FileNotFoundError(
            f"the weights with the text tower, {source or 'random ones'}, are not there: give them with --text-from, "
            "or leave the "
            "text tower out with --image-only."
        )
    clip = build_clip(json.loads(encoder["model_cfg"]), source)
    clip.visual.load_state_dict({name.removeprefix("visual."): value for name, value in visual.items()})
    return clip.state_dict()


def main() -> None:
    """Export, and say what was written."""
    args = parse_args()
    with exit_on_user_error("tools/export_encoder.py"):
        export(args.checkpoint, args.out, args.text_from, args.image_only, args.dtype)
    print(f"wrote {args.out} ({Path(args.out).stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
