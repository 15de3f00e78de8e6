"""Write a CLIP in the layout of mmseg's own SAN, for `pretrained=` of a MultimodalEncoderDecoder.

The configs of this project need no conversion: OpenVocabularySAN reads every published layout itself (`model.clip`).
The split between image encoder and recognition head follows from the architecture; the text tower comes from a second
file where the first has none. Each tensor of the architecture is in the output, or nothing is written.

Examples:
    python tools/model_converters/san.py weights/ViT-B-16.pt san_clip_b16.pth --model ViT-B-16-quickgelu
    python tools/model_converters/san.py weights/densevlm_openai_b16.safetensors san_densevlm_b16.pth \
        --model ViT-B-16-quickgelu --text-from open_clip:openai
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from densevlm_mm.files import atomic_write

if TYPE_CHECKING:
    from densevlm_mm.models.clip import ModelName


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="CLIP release, exported encoder, or checkpoint of tools/train.py")
    parser.add_argument("out", help="file to write, ending in .pth")
    parser.add_argument(
        "--model", help="open_clip name, or a .json file with its config; default: what an exported file says of itself"
    )
    parser.add_argument("--text-from", metavar="FILE", help="CLIP weights with the text tower; default: CHECKPOINT")
    parser.add_argument(
        "--encoder-blocks", type=int, metavar="N", help="blocks of the image encoder; default: three quarters (SAN)"
    )
    return parser.parse_args()


def convert(
    checkpoint: str,
    out: str,
    model: ModelName | None = None,
    text_from: str | None = None,
    encoder_blocks: int | None = None,
) -> int:
    """Convert a checkpoint.

    Args:
        checkpoint: Weights with the image tower.
        out: File to write.
        model: The architecture by any of its names, see :func:`resolve_architecture`; None takes it from an exported
            file.
        text_from: Weights with the text tower; None: ``checkpoint``.
        encoder_blocks: Blocks that go to the image encoder; None: three quarters.

    Returns:
        How many of the blocks went to the image encoder.

    Raises:
        FileNotFoundError: If a checkpoint does not exist.
        ValueError: If a checkpoint does not hold the architecture, or it is not one of OpenAI's ViTs.
    """
    import torch

    from densevlm_mm.models.clip import build_clip, load_visual
    from densevlm_mm.models.segmentors.san_weights import to_mmseg_layout  # imports mmseg

    if Path(out).suffix != ".pth":
        raise ValueError(f"mmseg's checkpoints are .pth files, got {out!r}")
    visual = load_visual(model, checkpoint)
    visual.encoder_parts.check_ordinary(checkpoint, "SAN")
    architecture = {"model_name": visual.model_name, "model_cfg": visual.model_cfg}
    clip = build_clip(architecture, text_from or checkpoint)
    state_dict = {key: value for key, value in clip.state_dict().items() if not key.startswith("visual.")}
    state_dict |= {f"visual.{key}": value for key, value in visual.state_dict().items()}
    if encoder_blocks is None:
        num_blocks = len({key.split(".")[3] for key in state_dict if key.startswith("visual.transformer.resblocks.")})
        encoder_blocks = num_blocks * 3 // 4
    converted = to_mmseg_layout(state_dict, encoder_blocks)
    with atomic_write(out) as partial:
        torch.save(converted, partial)
    return encoder_blocks


def main() -> None:
    """Convert, and say what was written."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error

    with exit_on_user_error("tools/model_converters/san.py"):
        blocks = convert(args.checkpoint, args.out, args.model, args.text_from, args.encoder_blocks)
    print(f"wrote {args.out}: image encoder of {blocks} blocks, the others in the recognition head")


if __name__ == "__main__":
    main()
