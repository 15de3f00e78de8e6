r"""Which things stuff is taken for: share and mean confidence of every pair, by masks.

Writes DIR/foreground_bias.png, .csv (one line a checkpoint, stuff class and thing) and .json (with the figures of
tools/test.py: the bias as a whole, things called stuff, and the offset control).

Example:
    python tools/analysis_tools/foreground_bias.py configs/tiny/densevlm.py --out DIR \
        before=densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors after=work_dirs/densevlm/iter_300.pth \
        teacher=densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors@configs/tiny/teacher.py
"""

import argparse
from pathlib import Path

from densevlm_mm.analysis.arguments import SOURCE_HELP, add_common_arguments, analysis_parser


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = analysis_parser(__doc__)
    parser.add_argument("config", help="config of the checkpoints that name none")
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help=SOURCE_HELP)
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="only these stuff classes")
    add_common_arguments(parser, with_cache=True)
    return parser.parse_args()


def main() -> None:
    """Classify regions, count, draw."""
    args = parse_args()

    from densevlm_mm.analysis import collect_region_scores
    from densevlm_mm.analysis.command_line import load_models, one_line_errors, progress_bar
    from densevlm_mm.analysis.foreground_bias import COLUMNS, foreground_bias_rows, plot_foreground_bias, stuff_order
    from densevlm_mm.analysis.models import retrieval_settings
    from densevlm_mm.tables import write_csv, write_json

    with one_line_errors("foreground_bias.py"):
        rows: dict[str, list[dict]] = {}
        metrics: dict[str, dict[str, float]] = {}
        order: list[str] = []
        for model in load_models(args.checkpoints, args):
            scores = collect_region_scores(model, args.cache, progress_bar)
            rows[model.name] = foreground_bias_rows(scores, retrieval_settings(model.cfg)[0])
            metrics[model.name] = scores.evaluate()
            order = order or stuff_order(scores, rows[model.name], args.classes)
        shown = {name: [row for row in table if row["stuff"] in order] for name, table in rows.items()}
        prefix = Path(args.out) / "foreground_bias"
        write_csv(f"{prefix}.csv", [dict(model=name, **row) for name in shown for row in shown[name]], COLUMNS)
        write_json(f"{prefix}.json", {name: dict(metrics=metrics[name], pairs=shown[name]) for name in shown})
        plot_foreground_bias(shown, order, f"{prefix}.png", metrics, title="What stuff is taken for")
        print(f"{prefix}.png, .csv, .json")
        for name, figures in metrics.items():
            print(
                f"  {name}: stuff called things {figures['foreground_bias']:.1f} %, things called stuff "
                f"{figures['things_called_stuff']:.1f} %, offset control {figures['offset_control']:.1f}"
            )


if __name__ == "__main__":
    main()
