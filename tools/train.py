"""Train from a config file: DenseVLM pretraining, a detector or a segmentor.

Examples:
    python tools/train.py configs/tiny/densevlm.py
    python tools/train.py configs/densevlm/pretrain_coco.py --amp --cfg-options train_dataloader.batch_size=32
    torchrun --nproc_per_node 4 tools/train.py configs/densevlm/pretrain_coco.py --launcher pytorch
"""

import argparse

from densevlm_mm.apis.arguments import add_experiment_arguments


def parse_args() -> argparse.Namespace:
    """Parse the flags that mmdetection and mmsegmentation users know."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision, on CPU too (bfloat16)")
    parser.add_argument("--auto-scale-lr", action="store_true", help="scale the learning rate with the batch size")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="CHECKPOINT",
        help="go on exactly where this checkpoint, or the latest one of the work dir, was saved",
    )
    add_experiment_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Load the experiment, check what it needs, train."""
    args = parse_args()

    from densevlm_mm.apis import (
        build_runner,
        check_inputs,
        choose_work_dir,
        claim_work_dir,
        count_accumulation,
        enable_amp,
        enable_auto_scale_lr,
        exit_on_user_error,
        load_experiment,
    )

    with exit_on_user_error("tools/train.py"):
        cfg = load_experiment(args.config, args.cfg_options, args.work_dir, args.launcher)
        if args.amp:
            enable_amp(cfg)
        if args.auto_scale_lr:
            enable_auto_scale_lr(cfg)
        count_accumulation(cfg)
        check_inputs(cfg, "train")
        if args.work_dir is None:
            choose_work_dir(cfg, args.resume)
        claim_work_dir(cfg, args.resume)
        build_runner(cfg, args.local_rank).train()


if __name__ == "__main__":
    main()
