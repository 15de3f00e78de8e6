"""Rerun pretraining experiments of the paper on TinyScenes, and write a page about them; `make report` runs this.

Trains and evaluates, for every seed, CLIPSelf and the other rows of Table 2 (targets from crops), the rows of Table 3,
three values of theta (Table 12), an unrefined teacher (an ablation of ours), and what this project adds to the paper:
image-level retention, correlation distillation (with SAN and CAT-Seg over its encoder), the value dense path. Sweeps of
weights are run for the first seed.
Writes OUT/index.html with OUT/pictures, OUT/report.json, and the runs with their logs. Run again, it repeats only what
is missing or whose config, weights or package versions have changed.

Examples:
    python tools/reproduce_tiny.py
    python tools/reproduce_tiny.py --seeds 0 --only before row1 row4
    python tools/reproduce_tiny.py --quick --out work_dirs/report_quick      # does everything run?
"""

import argparse
import sys
from pathlib import Path

from report.experiments import NAMES, select_experiments
from report.page import write_report
from report.plan import plan_tasks, world_task
from report.results import collect
from report.runs import run_tasks
from report.settings import WORLD_FILES, Settings


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("work_dirs/report"), help="folder of the page and the runs")
    parser.add_argument("--data", type=Path, help="TinyScenes, made if it is not there; default: data/tiny_scenes")
    parser.add_argument("--seeds", type=int, nargs="+", help="default: 0 1 2, with --quick: 0")
    parser.add_argument("--jobs", type=int, default=2, help="processes side by side, of one thread each")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"only these experiments: {', '.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="one seed, few steps, a small world; figures mean nothing")
    return parser.parse_args()


def settings_of(args: argparse.Namespace) -> Settings:
    """Check what the command line says.

    Raises:
        KeyError: If there is no experiment of a name.
        ValueError: If a seed is negative or occurs twice, or no process may run.
    """
    seeds = args.seeds or ([0] if args.quick else [0, 1, 2])
    if min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {' '.join(map(str, seeds))}: give different numbers from 0 on")
    if args.jobs < 1:
        raise ValueError(f"--jobs {args.jobs}: at least one process must run")
    out = args.out.absolute()
    data = args.data.absolute() if args.data else (out / "quick_world" if args.quick else Path("data/tiny_scenes"))
    return Settings(Path.cwd(), out, data, tuple(seeds), select_experiments(args.only), args.quick)


def main() -> None:
    """Run what is missing, write the page."""
    args = parse_args()
    try:
        reproduce(args)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from here")


def reproduce(args: argparse.Namespace) -> None:
    """Run the tasks that the command line asks for, and write the page about them."""
    from densevlm_mm.apis import exit_on_user_error

    with exit_on_user_error("tools/reproduce_tiny.py"):
        settings = settings_of(args)
    memo = settings.folder("runs") / "finished.json"
    if not all((settings.root / settings.data / name).is_file() for name in WORLD_FILES):
        world = run_tasks([world_task(settings)], settings.root, memo)
        if world.failed:
            sys.exit("\n\n".join(world.failed.values()))
    with exit_on_user_error("tools/reproduce_tiny.py"):
        tasks = plan_tasks(settings)
    outcome = run_tasks(tasks, settings.root, memo, args.jobs)
    report = collect(settings, tasks, outcome)
    page = write_report(report)
    for group, findings in (("paper", report.paper), ("ours", report.expectations)):
        for finding in findings:
            print(f"{group:5}  {finding.verdict:14}  {finding.ordering.title} ({finding.seeds_text})")
    print(f"\n{len(outcome.finished)} runs, {len(outcome.reused)} finished before. The page: {page}")
    if outcome.failed:
        sys.exit("\n\n".join([*outcome.failed.values(), "Some runs failed; the same command goes on from here."]))


if __name__ == "__main__":
    main()
