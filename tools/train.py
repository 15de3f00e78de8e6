"""Train from a config file: DenseVLM pretraining, a detector or a segmentor.

Examples:
    python tools/train.py configs/tiny/densevlm.py
    python tools/train.py configs/densevlm/pretrain_coco.py --amp --cfg-options train_dataloader.batch_size=32
    torchrun --nproc_per_node 4 tools/train.py configs/densevlm/pretrain_coco.py --launcher pytorch
"""

import argparse
import os
import sys

from mmengine.config import DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from densevlm_mm.apis import check_inputs, enable_amp, enable_auto_scale_lr, enable_resume, load_experiment
from densevlm_mm.compat.cpu_distributed import init_cpu_process_group


def parse_args() -> argparse.Namespace:
    """Parse the flags that mmdetection and mmsegmentation users know."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("--work-dir", help="folder for logs and checkpoints; default: work_dirs/<name of the config>")
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision, on CPU too (bfloat16)")
    parser.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate with the total batch size"
    )
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on exactly where this checkpoint, or the latest one of the work dir, was saved",
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config values, e.g. train_dataloader.batch_size=8 model.loss.threshold=0.5",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def main() -> None:
    """Load the experiment, check what it needs, train."""
    args = parse_args()
    try:
        cfg = load_experiment(args.config, args.cfg_options, args.work_dir, args.launcher)
        if args.amp:
            enable_amp(cfg)
        if args.auto_scale_lr:
            enable_auto_scale_lr(cfg)
        enable_resume(cfg, args.resume)
        check_inputs(cfg, "train")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"tools/train.py: {error.args[0] if isinstance(error, KeyError) else error}")

    init_cpu_process_group(args.launcher)
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    runner.train()


if __name__ == "__main__":
    main()
