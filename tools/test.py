"""Test a model: region accuracy of an encoder, AP of a detector, mIoU of a segmentor.

CHECKPOINT is a checkpoint of tools/train.py or, for configs/densevlm, encoder weights in any published format.

Examples:
    python tools/test.py configs/tiny/densevlm.py work_dirs/densevlm/iter_300.pth
    python tools/test.py configs/densevlm/pretrain_coco.py weights/EVA02_CLIP_B_psz16_s8B.pt --out per_class.csv
    python tools/test.py configs/tiny/densevlm.py work_dirs/densevlm/iter_300.pth --synonyms tiny_scenes
    torchrun --nproc_per_node 2 tools/test.py configs/tiny/densevlm.py CHECKPOINT --launcher pytorch
"""

import argparse

from densevlm_mm.apis.arguments import add_experiment_arguments


def parse_args() -> argparse.Namespace:
    """Parse the flags that mmdetection and mmsegmentation users know."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("checkpoint", help="checkpoint of tools/train.py, or encoder weights")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help="write results: .csv or .json, the per-class table of a region evaluation or a segmentor; .pkl, the "
        "predictions; a folder, the label maps of a segmentor",
    )
    parser.add_argument(
        "--synonyms",
        metavar="FILE",
        help="also ask for the classes by other names and print what that costs: a .json or .txt of names and synonyms "
        "(docs/vocabularies.md), an LVIS annotation file, 'own' for the names behind a class's first comma, or a "
        "packaged table",
    )
    parser.add_argument("--show", action="store_true", help="show predictions in a window")
    parser.add_argument("--show-dir", metavar="DIR", help="draw predictions into this folder")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds that a shown image stays")
    parser.add_argument("--tta", action="store_true", help="test-time augmentation, for configs that define tta_model")
    add_experiment_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Load the experiment, check what it needs, test."""
    args = parse_args()

    from densevlm_mm.apis import (
        build_runner,
        check_inputs,
        enable_outputs,
        enable_show,
        enable_synonyms,
        enable_tta,
        exit_on_user_error,
        load_experiment,
        use_checkpoint,
    )

    with exit_on_user_error("tools/test.py"):
        cfg = load_experiment(args.config, args.cfg_options, args.work_dir, args.launcher)
        use_checkpoint(cfg, args.checkpoint)
        if args.out:
            enable_outputs(cfg, args.out)
        if args.synonyms:
            enable_synonyms(cfg, args.synonyms)
        if args.show or args.show_dir:
            enable_show(cfg, args.show_dir, args.show, args.wait_time)
        if args.tta:
            enable_tta(cfg)
        check_inputs(cfg, "test")
        build_runner(cfg, args.local_rank).test()


if __name__ == "__main__":
    main()
