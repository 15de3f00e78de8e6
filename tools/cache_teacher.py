"""Fill the teacher cache of a pretraining config ahead of training; see docs/teacher_cache.md.

What is there already is kept: the tool can be stopped at any time, and several can fill one cache at once. The
precision of the teacher is that of the training, so give --amp here if the training gets it.

Examples:
    python tools/cache_teacher.py configs/tiny/densevlm_cached.py
    torchrun --nproc_per_node 8 tools/cache_teacher.py configs/densevlm/pretrain_coco_cached.py --amp --launcher pytorch
    python tools/cache_teacher.py configs/densevlm/pretrain_coco_cached.py --amp --info
    python tools/cache_teacher.py configs/densevlm/pretrain_coco_cached.py --amp --verify 100
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from densevlm_mm.apis.arguments import add_experiment_arguments

if TYPE_CHECKING:
    from densevlm_mm.apis.teacher_cache import PreparedCache


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="pretraining config whose teacher has a cache")
    parser.add_argument("--amp", action="store_true", help="the teacher's precision is that of tools/train.py --amp")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--info", action="store_true", help="print size, completeness and key, and compute nothing")
    group.add_argument("--verify", type=int, metavar="N", help="compute N records again, and compare")
    parser.add_argument(
        "--tolerance",
        type=float,
        help="largest difference that --verify accepts; default: 0 on the CPU in float32, where records are exact, "
        "else 0.05",
    )
    add_experiment_arguments(parser)
    args = parser.parse_args()
    if args.verify is not None and args.verify < 1:
        parser.error(f"--verify takes a number of records, got {args.verify}")
    if args.launcher != "none" and (args.info or args.verify):
        parser.error("--info and --verify run in one process")
    return args


def verify(prepared: PreparedCache, count: int, tolerance: float | None) -> str | None:
    """Print what a verification found; return what is wrong, if anything."""
    result = prepared.verify(count)
    if tolerance is None:
        tolerance = 0 if prepared.hook.takes_single_images else 0.05
    print(
        f"{result.num_compared} records computed again: largest difference {result.largest_difference:.3g}, "
        f"{result.num_damaged} damaged"
    )
    if result.num_compared + result.num_damaged == 0:
        return "there is no record of the training images to verify."
    if result.num_damaged or result.largest_difference > tolerance:
        return f"the cache {prepared.cache.store.folder} is not what the teacher says; remove it to begin anew."
    return None


def main() -> None:
    """Fill, verify or describe the cache."""
    args = parse_args()

    from mmengine.dist import is_main_process

    from densevlm_mm.apis import check_inputs, enable_amp, exit_on_user_error, load_experiment
    from densevlm_mm.apis.teacher_cache import PreparedCache

    problem = None
    with exit_on_user_error("tools/cache_teacher.py"):
        work_dir = args.work_dir or "work_dirs/cache_teacher"
        cfg = load_experiment(args.config, args.cfg_options, work_dir, args.launcher)
        if args.amp:
            enable_amp(cfg)
        check_inputs(cfg, "train")
        with PreparedCache(cfg) as prepared:
            if args.info:
                print(prepared.describe())
            elif args.verify:
                problem = verify(prepared, args.verify, args.tolerance)
            else:
                prepared.fill()
                prepared.cache.report()
                if is_main_process():
                    print(f"{prepared.cache.store.folder}: {len(prepared.cache.store):,} records")
    if problem:
        sys.exit(f"tools/cache_teacher.py: {problem}")


if __name__ == "__main__":
    main()
