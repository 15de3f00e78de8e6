r"""Which class annotated regions are taken for: row-normalised confusion matrices, things before stuff.

Writes DIR/confusion_matrix_NAME.png and .json (the counts, and the most frequent confusions) for every checkpoint.

Examples:
    python tools/analysis_tools/confusion_matrix.py configs/tiny/densevlm.py work_dirs/densevlm/iter_300.pth --out DIR
    python tools/analysis_tools/confusion_matrix.py configs/densevlm/pretrain_coco.py --by boxes --out DIR \
        before=weights/EVA02_CLIP_B_psz16_s8B.pt after=work_dirs/pretrain_coco/iter_11088.pth
"""

import argparse
from pathlib import Path

from densevlm_mm.analysis.arguments import SOURCE_HELP, add_common_arguments, analysis_parser


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = analysis_parser(__doc__)
    parser.add_argument("config", help="config of the checkpoints")
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help=SOURCE_HELP)
    parser.add_argument("--by", choices=["masks", "boxes"], default="masks", help="features of masks or of boxes")
    add_common_arguments(parser, with_cache=True)
    return parser.parse_args()


def main() -> None:
    """Classify regions, count, draw."""
    args = parse_args()

    from densevlm_mm.analysis import collect_region_scores
    from densevlm_mm.analysis.command_line import file_stem, load_models, one_line_errors, progress_bar
    from densevlm_mm.analysis.confusion_matrix import confusion_record, plot_confusion, region_confusion
    from densevlm_mm.analysis.confusion_page import can_write_pages, write_confusion_page
    from densevlm_mm.tables import write_json

    with one_line_errors("confusion_matrix.py"):
        for model in load_models(args.checkpoints, args):
            scores = collect_region_scores(model, args.cache, progress_bar)
            counts = region_confusion(scores, args.by)
            prefix = Path(args.out) / f"confusion_matrix_{file_stem(model.name)}"
            record = dict(model=model.name, by=args.by, **confusion_record(counts, scores.vocabulary))
            write_json(f"{prefix}.json", record)
            plot_confusion(counts, scores.vocabulary, f"{prefix}.png", title=f"{model.name} (by {args.by})")
            written = f"{prefix}.png, .json"
            if can_write_pages():
                write_confusion_page(counts, scores.vocabulary, f"{prefix}.html", title=f"{model.name} (by {args.by})")
                written += ", .html"
            else:
                written += " (with pip install plotly also an .html to point at)"
            print(f"{model.name}: {written}")
            for pair in record["top_confusions"][:5]:
                print(f"  {pair['annotated']} -> {pair['predicted']}: {pair['share']:.1f} % ({pair['count']} regions)")


if __name__ == "__main__":
    main()
