r"""What region training costs on whole images: every weight of the ensemble of trained and initial weights.

A checkpoint of tools/train.py holds both, so one file gives the whole curve. For every alpha: Boxes, Masks-T and
Masks-S Top-1 and their mean (dense mean), foreground bias and offset control by the config's own metrics; class Top-1
and image-text retrieval of whole images as tools/analysis_tools/retention.py measures them. Alpha 0 is the initial
model and alpha 1 the trained weights as they are. "Two encoders" takes regions from the trained model (at the
checkpoint's own alpha) and whole images from the initial one: exact, at twice the cost.
Writes DIR/tradeoff.png, .csv and .json, and with --by-depth DIR/tradeoff_by_depth.png and .csv.

Example:
    python tools/analysis_tools/tradeoff.py configs/tiny/densevlm.py --out DIR \
        DenseVLM=work_dirs/densevlm/iter_300.pth CLIPSelf=work_dirs/clipself/iter_300.pth@configs/tiny/clipself.py
"""

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from densevlm_mm.analysis.arguments import SOURCE_HELP, add_common_arguments, analysis_parser

if TYPE_CHECKING:
    from densevlm_mm.analysis.alpha_sweep import AlphaSweep

DEPTH_WEIGHTS = (0.0, 0.5, 0.9, 1.0)


def alphas(text: str) -> list[float]:
    """Read ``first:last:step`` (both ends included) or ``a,b,c``.

    Raises:
        argparse.ArgumentTypeError: If it is neither, or a weight is outside of [0, 1].
    """
    try:
        if ":" in text:
            first, last, step = map(float, text.split(":"))
            if step <= 0 or last < first:
                raise ValueError
            values = [round(first + index * step, 10) for index in range(int((last - first) / step + 1e-9) + 1)]
        else:
            values = sorted({float(value) for value in text.split(",")})
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither FIRST:LAST:STEP, as 0:1:0.1, nor a list, as 0,0.9,1"
        ) from None
    if wrong := [value for value in values if not 0 <= value <= 1]:
        raise argparse.ArgumentTypeError(f"{text!r}: alpha {wrong[0]:g} is not in [0, 1]")
    return values


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = analysis_parser(__doc__)
    parser.add_argument("config", help="config of the checkpoints that name none")
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT", help=f"{SOURCE_HELP}; here only the former")
    parser.add_argument(
        "--alphas", type=alphas, default=alphas("0:1:0.1"), metavar="FIRST:LAST:STEP", help="default 0:1:0.1; or a,b,c"
    )
    parser.add_argument(
        "--by-depth", action="store_true", help="also weights of the first and last block from {0, .5, .9, 1} each"
    )
    parser.add_argument("--captions", metavar="FILE", help="captions in COCO's format; default: beside the annotations")
    parser.add_argument("--images", metavar="DIR", help="folder of the captioned images; default: the test images'")
    parser.add_argument("--no-captions", action="store_true", help="class Top-1 only")
    parser.add_argument(
        "--memory",
        type=float,
        default=4.0,
        metavar="GIB",
        help="for prepared images, which more are read anew; default 4",
    )
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Evaluate every alpha of every checkpoint, draw, say."""
    args = parse_args()

    from densevlm_mm.analysis.alpha_sweep import AlphaSweep, TrainedWeights
    from densevlm_mm.analysis.command_line import one_line_errors, parse_sources
    from densevlm_mm.analysis.prepared_batches import PreparedBatches
    from densevlm_mm.analysis.tradeoff_picture import plot_by_depth, plot_tradeoff
    from densevlm_mm.engine.quiet_console import quiet_console
    from densevlm_mm.tables import write_csv, write_json

    with one_line_errors("tradeoff.py"):
        sources = parse_sources(args.checkpoints, args.config)
        for source in sources:
            TrainedWeights.read(source.checkpoint, verify=False)  # whatever is wrong with the last one comes first
        prefix = Path(args.out) / "tradeoff"
        quiet_console(f"{prefix}.log")
        prepared = PreparedBatches(int(args.memory * 1024**3))
        models: dict[str, dict[str, Any]] = {}
        for source in sources:
            sweep = AlphaSweep(
                source, prepared, args.captions, args.images, not args.no_captions, args.cfg_options, args.device
            )
            models[source.name] = _measure(sweep, args.alphas, args.by_depth)
        rows = [row for name, model in models.items() for row in _rows(name, model)]
        write_csv(f"{prefix}.csv", rows, _columns(rows))
        above = _say_numbers(models)
        write_json(f"{prefix}.json", dict(models=models, lies_above=above))
        plot_tradeoff(models, f"{prefix}.png", title="Regions and whole images")
        print(f"{prefix}.png, .csv, .json")
        if args.by_depth:
            rows = [dict(model=name, **row) for name, model in models.items() for row in model["by_depth"]]
            write_csv(f"{prefix}_by_depth.csv", rows, _columns(rows))
            plot_by_depth(models, f"{prefix}_by_depth.png", title="Weights by depth")
            print(f"{prefix}_by_depth.png, .csv")


def _measure(sweep: "AlphaSweep", alpha_values: list[float], by_depth: bool) -> dict[str, Any]:
    """All figures of a checkpoint, each said as soon as it is there."""
    from densevlm_mm.models.clip.ensemble_alpha import EnsembleAlpha

    name = sweep.source.name
    grid = [EnsembleAlpha(first, last) for first in DEPTH_WEIGHTS for last in DEPTH_WEIGHTS] if by_depth else []
    wanted = dict.fromkeys([EnsembleAlpha(0, 0), sweep.own, *map(EnsembleAlpha.parse, alpha_values), *grid])
    for number, alpha in enumerate(wanted, start=1):
        start = time.monotonic()
        figures = sweep.evaluate(alpha)
        shown = ", ".join(f"{key} {figures[key]:.3g}" for key in _SHOWN if key in figures)
        print(f"{name} {number}/{len(wanted)}, alpha {alpha}: {shown} ({time.monotonic() - start:.1f} s)", flush=True)
    model: dict[str, Any] = dict(
        checkpoint=sweep.source.checkpoint,
        config=sweep.source.config,
        own_alpha=sweep.own.config,
        initial=sweep.evaluate(0),
        own=sweep.evaluate(sweep.own),
        two_encoders=sweep.two_encoders(),
        curve=[dict(alpha=alpha, **sweep.evaluate(alpha)) for alpha in alpha_values],
    )
    if grid:
        model["by_depth"] = [dict(first=a.first, last=a.last, **sweep.evaluate(a)) for a in grid]
    return model


_SHOWN = ("dense_mean", "coherence_auc", "class_top1", "image_to_text_r1", "text_to_image_r1")


def _rows(name: str, model: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [dict(model=name, kind="curve", **row) for row in model["curve"]]
    own = model["own_alpha"] if isinstance(model["own_alpha"], float) else None
    rows.append(dict(model=name, kind="initial", alpha=0.0, **model["initial"]))
    rows.append(dict(model=name, kind="as evaluated", alpha=own, **model["own"]))
    rows.append(dict(model=name, kind="two encoders", alpha=own, **model["two_encoders"]))
    return rows


def _columns(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _say_numbers(models: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the two numbers of each curve into its model, say them, and which curves lie above others."""
    from itertools import permutations

    from densevlm_mm.analysis.tradeoff import (
        CurvePoint,
        dense_at_kept_retrieval,
        lies_above,
        retrieval_near_best_dense,
    )

    above = []
    for key in ("text_to_image_r1", "image_to_text_r1"):
        if not all(key in model["initial"] for model in models.values()):
            continue
        curves = {
            name: [CurvePoint(row["alpha"], row["dense_mean"], row[key]) for row in model["curve"]]
            for name, model in models.items()
        }
        for name, curve in curves.items():
            initial = models[name]["initial"][key]
            near, kept = retrieval_near_best_dense(curve), dense_at_kept_retrieval(curve, initial)
            numbers = dict(near_best_dense=near._asdict(), at_kept_retrieval=None if kept is None else kept._asdict())
            models[name].setdefault("numbers", {})[key] = numbers
            print(f"{name}, {key} {initial:.1f} before training:")
            print(f"  {near.retrieval:.1f} at alpha {near.alpha:g}, the largest within 1 point of the best dense mean")
            what = "no alpha" if kept is None else f"dense mean {kept.dense:.1f} at alpha {kept.alpha:g}, the largest"
            print(f"  {what} that keeps 95 % of it")
        for one, other in permutations(curves, 2):
            if min(len(curves[one]), len(curves[other])) > 1 and lies_above(curves[one], curves[other]):
                above.append(dict(figure=key, curve=one, lies_above=other))
                print(f"{key}: the curve of {one} lies above that of {other}")
    return above


if __name__ == "__main__":
    main()
