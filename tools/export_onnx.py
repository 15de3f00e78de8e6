r"""Write an encoder as a graph for other runtimes: ONNX, or a torch.export program (.pt2).

Input `images`: float32 (batch, 3, height, width), RGB from 0 to 1, of any size (.pt2: sides that are multiples of the
stride); the normalisation is inside. Output `dense`: unit-norm embeddings (batch, D, height // stride, width //
stride); with names, which are baked in, `similarity`: their cosines (batch, K, ...). The file's metadata hold the
names. An ONNX file is run by onnxruntime at two sizes and compared with the encoder, to 1e-4.

Examples:
    python tools/export_onnx.py weights/densevlm_eva02_b16.safetensors encoder.onnx
    python tools/export_onnx.py weights/densevlm_eva02_b16.safetensors street.onnx --names tram van road sky
    python tools/export_onnx.py weights/EVA02_CLIP_B_psz16_s8B.pt coco.pt2 --model EVA02-B-16 \
        --vocabulary coco_panoptic_133
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from densevlm_mm.vocabulary.templates import TEMPLATE_SETS

if TYPE_CHECKING:
    from densevlm_mm.models.encoders import DenseImageEncoder
    from densevlm_mm.models.text import ClassEmbeddings


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder", help="encoder weights in any published format, or a checkpoint of tools/train.py")
    parser.add_argument("out", help="file to write, .onnx or .pt2")
    parser.add_argument("--model", help="open_clip name, for weights that do not say their architecture")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--vocabulary", metavar="FILE", help=".txt with a name a line, .json, or a packaged vocabulary"
    )
    classes.add_argument("--names", nargs="+", metavar="NAME", help="the class names themselves")
    parser.add_argument("--templates", default="vild", choices=TEMPLATE_SETS, help="prompt templates (default: vild)")
    parser.add_argument(
        "--text-from", metavar="WEIGHTS", help="weights with the text tower, if the encoder's file has none"
    )
    return parser.parse_args()


def embed_classes(args: argparse.Namespace, encoder: DenseImageEncoder) -> ClassEmbeddings | None:
    """Embed the names of the command line; None if there are none."""
    from densevlm_mm.apis import names_of_arguments
    from densevlm_mm.models.text import build_class_embeddings
    from densevlm_mm.vocabulary import Vocabulary

    names = names_of_arguments(args.names) if args.names else args.vocabulary
    if not names:
        return None
    model = {key: encoder.description[key] for key in ("model_name", "model_cfg")}
    return build_class_embeddings(Vocabulary.load(names), model, args.text_from or args.encoder, args.templates)


def main() -> None:
    """Export, check, and say what was written."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.apis.graph_export import DenseGraph, check_onnx, save_graph
    from densevlm_mm.models.encoders import DenseImageEncoder

    with exit_on_user_error("tools/export_onnx.py"):
        encoder = DenseImageEncoder(args.model, args.encoder)
        graph = DenseGraph(encoder, embed_classes(args, encoder))
        save_graph(graph, args.out)
        classes = "" if graph.classes is None else f", {len(graph.classes)} classes"
        print(f"wrote {args.out} ({Path(args.out).stat().st_size / 1e6:.1f} MB{classes})")
        if args.out.endswith(".onnx"):
            sizes = [(12 * encoder.stride, 12 * encoder.stride), (9 * encoder.stride + 1, 14 * encoder.stride)]
            worst = check_onnx(graph, args.out, sizes)
            shown = " and ".join(f"{height} x {width}" for height, width in sizes)
            print(f"onnxruntime agrees with the encoder within {worst:.0e} (at {shown} px)")


if __name__ == "__main__":
    main()
