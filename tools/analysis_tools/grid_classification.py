r"""What an encoder takes the cells of an image for: class and probability, cells below the threshold dimmed.

Writes DIR/NAME_grid.png and .json for every image. Temperature and threshold are those of the config's loss.

Example:
    python tools/analysis_tools/grid_classification.py data/tiny_scenes/val/000003.jpg --grid 6 \
        --config configs/tiny/teacher.py --out DIR \
        --checkpoints densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors
"""

import argparse
from pathlib import Path

from densevlm_mm.analysis.arguments import add_common_arguments, add_image_arguments, analysis_parser
from densevlm_mm.output_names import output_names


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = analysis_parser(__doc__)
    add_image_arguments(parser)
    parser.add_argument("--grid", type=int, nargs="+", default=[6], metavar="N", help="N x N cells, or ROWS COLUMNS")
    parser.add_argument("--vocabulary", help="packaged name or file; default: the config's evaluation vocabulary")
    parser.add_argument("--threshold", type=float, help="theta; default: the config's, else 0.3")
    parser.add_argument("--temperature", type=float, help="tau; default: the config's, else 0.01")
    add_common_arguments(parser)
    args = parser.parse_args()
    if len(args.grid) > 2:
        parser.error(f"--grid takes one or two numbers, not {len(args.grid)}")
    return args


def main() -> None:
    """Classify, draw."""
    args = parse_args()

    from densevlm_mm.analysis.command_line import load_models, one_line_errors
    from densevlm_mm.analysis.grid_classification import classify_grid, plot_grid_classification
    from densevlm_mm.analysis.images import load_canvas_image
    from densevlm_mm.analysis.models import retrieval_settings
    from densevlm_mm.tables import write_json

    with one_line_errors("grid_classification.py"):
        models = load_models(args.checkpoints, args)
        temperature, threshold = retrieval_settings(models[0].cfg)
        temperature = temperature if args.temperature is None else args.temperature
        threshold = threshold if args.threshold is None else args.threshold
        embeddings = [model.class_embeddings(args.vocabulary, args.templates) for model in models]
        for path, name in zip(args.images, output_names(args.images), strict=True):
            canvases = [load_canvas_image(path, model.cfg) for model in models]
            results = {
                model.name: classify_grid(model, canvas, classes, (args.grid[0], args.grid[-1]), temperature, threshold)
                for model, canvas, classes in zip(models, canvases, embeddings, strict=True)
            }
            prefix = Path(args.out) / f"{name}_grid"
            cells = {model: result.record() for model, result in results.items()}
            write_json(f"{prefix}.json", dict(image=path, threshold=threshold, temperature=temperature, cells=cells))
            plot_grid_classification(canvases[0].rgb, results, f"{prefix}.png", threshold)
            print(f"{prefix}.png, .json")


if __name__ == "__main__":
    main()
