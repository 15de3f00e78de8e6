r"""Where in an image an encoder sees a text: heat maps of the cosine between the dense map and the text's embedding.

Writes DIR/NAME_similarity.png and .json (the values on the feature grid) for every image.

Example:
    python tools/analysis_tools/similarity_map.py data/tiny_scenes/val/000003.jpg --texts sky sand kite \
        --config configs/tiny/densevlm.py --out DIR --checkpoints \
        before=densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors after=work_dirs/densevlm/iter_300.pth
"""

import argparse
from pathlib import Path

from densevlm_mm.analysis.arguments import add_common_arguments, add_image_arguments, analysis_parser
from densevlm_mm.output_names import output_names


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = analysis_parser(__doc__)
    add_image_arguments(parser)
    parser.add_argument("--texts", nargs="+", required=True, metavar="TEXT", help="names or phrases to look for")
    parser.add_argument(
        "--scale",
        choices=["shared", "each"],
        default="shared",
        help="colours: one scale a text for all checkpoints (default), or each map its own",
    )
    parser.add_argument(
        "--centred",
        action="store_true",
        help="subtract at every position the mean cosine of the config's classes, which some positions have more of",
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Embed, compare, draw."""
    args = parse_args()

    from densevlm_mm.analysis.command_line import load_models, one_line_errors
    from densevlm_mm.analysis.images import load_canvas_image
    from densevlm_mm.analysis.similarity_map import plot_similarity_maps, similarity_maps
    from densevlm_mm.tables import write_json

    with one_line_errors("similarity_map.py"):
        models = load_models(args.checkpoints, args)
        texts = {model.name: model.embed_texts(args.texts, args.templates) for model in models}
        classes = {model.name: model.class_embeddings().embeddings if args.centred else None for model in models}
        value = "cosine - mean of classes" if args.centred else "cosine"
        for path, name in zip(args.images, output_names(args.images), strict=True):
            # Every model has its own canvas; the picture shows the first one's.
            canvases = [load_canvas_image(path, model.cfg) for model in models]
            maps = {
                model.name: similarity_maps(model, canvas, texts[model.name], classes[model.name])
                for model, canvas in zip(models, canvases, strict=True)
            }
            prefix = Path(args.out) / f"{name}_similarity"
            values = {
                name: {text: text_map.tolist() for text, text_map in zip(args.texts, text_maps, strict=True)}
                for name, text_maps in maps.items()
            }
            write_json(f"{prefix}.json", dict(image=path, value=value, maps=values))
            plot_similarity_maps(canvases[0], args.texts, maps, f"{prefix}.png", args.scale, value)
            print(f"{prefix}.png, .json")


if __name__ == "__main__":
    main()
