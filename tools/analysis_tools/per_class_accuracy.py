r"""Accuracy class by class, several checkpoints side by side, things and stuff apart.

A FILE is a checkpoint (needs --config) or a per-class table as tools/test.py --out FILE.json writes it. Writes
DIR/per_class_accuracy.png and .csv, and for every checkpoint the table DIR/NAME.json and .csv.

Examples:
    python tools/analysis_tools/per_class_accuracy.py before=before.json after=after.json --out DIR
    python tools/analysis_tools/per_class_accuracy.py --config configs/tiny/densevlm.py --things-by boxes --out DIR \
        before=densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors after=work_dirs/densevlm/iter_300.pth
"""

import argparse
from pathlib import Path

from densevlm_mm.analysis.arguments import SOURCE_HELP, add_common_arguments, analysis_parser


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = analysis_parser(__doc__)
    parser.add_argument("files", nargs="+", metavar="FILE", help=f"[NAME=]TABLE.json or {SOURCE_HELP}")
    parser.add_argument("--config", help="config of the checkpoints that name none")
    parser.add_argument("--things-by", choices=["masks", "boxes"], default="masks", help="Masks-T or Boxes")
    parser.add_argument("--top", type=int, choices=[1, 5], default=1, help="Top-1 or Top-5 accuracy")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="only these classes")
    add_common_arguments(parser, with_cache=True)
    return parser.parse_args()


def per_class_rows(text: str, args: argparse.Namespace) -> tuple[str, list[dict]]:
    """Name and per-class rows of one FILE; a checkpoint is evaluated."""
    from densevlm_mm.analysis import AnalysisModel, collect_region_scores, parse_model_source
    from densevlm_mm.analysis.command_line import file_stem, progress_bar
    from densevlm_mm.analysis.models import default_name
    from densevlm_mm.analysis.per_class_accuracy import load_per_class

    if text.endswith(".json"):
        name, _, path = text.rpartition("=") if not Path(text).exists() else ("", "", text)
        return name or default_name(path), load_per_class(path)
    model = AnalysisModel(parse_model_source(text, args.config), args.cfg_options, args.device)
    prefix = Path(args.out) / file_stem(model.name)
    prefix.parent.mkdir(parents=True, exist_ok=True)
    collect_region_scores(model, args.cache, progress_bar).evaluate(str(prefix))
    return model.name, load_per_class(f"{prefix}.json")


def main() -> None:
    """Read or evaluate, put side by side, draw."""
    args = parse_args()

    from densevlm_mm.analysis import check_names
    from densevlm_mm.analysis.command_line import one_line_errors
    from densevlm_mm.analysis.per_class_accuracy import per_class_table, plot_per_class_accuracy
    from densevlm_mm.tables import write_csv

    with one_line_errors("per_class_accuracy.py"):
        pairs = [per_class_rows(text, args) for text in args.files]
        check_names([name for name, _ in pairs])
        results = dict(pairs)
        table = per_class_table(results, args.things_by, args.top, args.classes)
        prefix = Path(args.out) / "per_class_accuracy"
        write_csv(f"{prefix}.csv", table, ["class", "is_thing", "num_regions", *results])
        groups = f"{'Masks-T' if args.things_by == 'masks' else 'Boxes'} and Masks-S"
        plot_per_class_accuracy(table, list(results), f"{prefix}.png", title=f"{groups}, Top-{args.top}")
        print(f"{prefix}.png, .csv: {len(table)} classes, {', '.join(results)}")


if __name__ == "__main__":
    main()
