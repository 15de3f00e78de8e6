"""Test a model: region accuracy of an encoder, AP of a detector, mIoU of a segmentor.

CHECKPOINT is a checkpoint of tools/train.py or, for configs/densevlm, encoder weights in any published format.

Examples:
    python tools/test.py configs/tiny/densevlm.py work_dirs/densevlm/epoch_3.pth
    python tools/test.py configs/densevlm/pretrain_coco.py weights/EVA02_CLIP_B_psz16_s8B.pt
    torchrun --nproc_per_node 2 tools/test.py configs/tiny/densevlm.py CHECKPOINT --launcher pytorch
"""

import argparse
import os
import sys

from mmengine.config import DictAction
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from densevlm_mm.apis import check_inputs, enable_outputs, enable_show, enable_tta, load_experiment, use_checkpoint
from densevlm_mm.compat.cpu_distributed import init_cpu_process_group


def parse_args() -> argparse.Namespace:
    """Parse the flags that mmdetection and mmsegmentation users know."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("checkpoint", help="checkpoint of tools/train.py, or encoder weights")
    parser.add_argument("--work-dir", help="folder for logs and metrics; default: work_dirs/<name of the config>")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write results: .csv or .json, the per-class table of a region evaluation; .pkl, the predictions; "
        "a folder, the label maps of a segmentor",
    )
    parser.add_argument("--show", action="store_true", help="show predictions in a window")
    parser.add_argument("--show-dir", metavar="DIR", help="draw predictions into this folder")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds that a shown image stays")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation, for configs that define tta_model")
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action=DictAction,
        metavar="KEY=VALUE",
        help="override config values, e.g. test_dataloader.batch_size=8",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none", help="job launcher")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    return args


def main() -> None:
    """Load the experiment, check what it needs, test."""
    args = parse_args()
    try:
        cfg = load_experiment(args.config, args.cfg_options, args.work_dir, args.launcher)
        use_checkpoint(cfg, args.checkpoint)
        if args.out:
            enable_outputs(cfg, args.out)
        if args.show or args.show_dir:
            enable_show(cfg, args.show_dir, args.show, args.wait_time)
        if args.tta:
            enable_tta(cfg)
        check_inputs(cfg, "test")
    except (OSError, KeyError, ValueError) as error:
        sys.exit(f"tools/test.py: {error.args[0] if isinstance(error, KeyError) else error}")

    init_cpu_process_group(args.launcher)
    runner = RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
    runner.test()


if __name__ == "__main__":
    main()
