r"""What an encoder still knows about whole images: zero-shot classes, and image-text retrieval.

Images are seen at the encoder's native size, resized and centre-cropped as CLIP does, through its ordinary attention.
Classes: the config's test images (panoptic annotations) and vocabulary; a hit if the best class is in the image.
Retrieval: recall at 1, 5 and 10 both ways on captions in COCO's format, by default the file beside the panoptic one
(annotations/captions_val2017.json). Writes DIR/retention.png, .csv and .json.

Example:
    python tools/analysis_tools/retention.py configs/tiny/densevlm.py --out DIR \
        before=densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors after=work_dirs/densevlm/iter_300.pth
"""

import argparse
from pathlib import Path

from densevlm_mm.analysis.arguments import SOURCE_HELP, add_common_arguments, analysis_parser


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = analysis_parser(__doc__)
    parser.add_argument("config", help="config of the checkpoints that name none")
    parser.add_argument(
        "checkpoints", nargs="+", metavar="CHECKPOINT", help=f"{SOURCE_HELP}; the first is the reference"
    )
    parser.add_argument("--captions", metavar="FILE", help="captions in COCO's format")
    parser.add_argument("--images", metavar="DIR", help="folder of the captioned images; default: the test images'")
    parser.add_argument("--no-captions", action="store_true", help="classes only")
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Embed, score, compare."""
    args = parse_args()

    from densevlm_mm.analysis.command_line import load_models, one_line_errors, progress_bar
    from densevlm_mm.analysis.retention import default_captions, image_level_scores, plot_retention
    from densevlm_mm.tables import write_csv, write_json

    with one_line_errors("retention.py"):
        results: dict[str, dict[str, float]] = {}
        for model in load_models(args.checkpoints, args):
            captions, images = default_captions(model.cfg)
            source = None if args.no_captions else (args.captions or captions, args.images or images)
            results[model.name] = image_level_scores(model, source, progress_bar)
        prefix = Path(args.out) / "retention"
        columns = list(next(iter(results.values())))
        write_csv(
            f"{prefix}.csv", [dict(model=name, **scores) for name, scores in results.items()], ["model", *columns]
        )
        write_json(f"{prefix}.json", results)
        plot_retention(results, f"{prefix}.png", title="Whole images")
        print(f"{prefix}.png, .csv, .json")
        reference = next(iter(results.values()))
        for key in columns:
            if key.startswith(("class_top", "image_to_text", "text_to_image")):
                values = [f"{name} {s[key]:.1f} ({s[key] - reference[key]:+.1f})" for name, s in results.items()]
                print(f"  {key:20} {', '.join(values)}")


if __name__ == "__main__":
    main()
