"""Predict on images with a trained detector or segmentor, for its own classes or for names that you give.

Written to --out-dir: predictions.json (names, scores, boxes, or shares of segments), pictures/, and label_maps/ of a
segmentor, named by the images' paths below the folder that you give. While it runs, predictions.jsonl has what is done.
Images that cannot be read are skipped and listed at the end and in skipped.json; the exit code is 0 as long as there
was one that could be. The console has a line an image, the log file in --out-dir everything.

Examples:
    python tools/predict.py configs/fvit/ov-coco_b16_densevlm.py CHECKPOINT street.jpg --vocabulary names.txt
    python tools/predict.py configs/tiny/fvit_densevlm.py CHECKPOINT data/tiny_scenes/val --names boat "fishing boat"
"""

import argparse
import sys

from densevlm_mm.apis import (
    add_experiment_arguments,
    build_runner,
    check_inputs,
    exit_on_user_error,
    load_experiment,
    names_of_arguments,
    predict_on_images,
    use_checkpoint,
    use_vocabulary,
)


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="path of the config file")
    parser.add_argument("checkpoint", help="checkpoint of tools/train.py")
    parser.add_argument("images", nargs="+", help="image files and folders")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--vocabulary", metavar="FILE", help=".txt with a name a line, .json, or a packaged vocabulary"
    )
    classes.add_argument("--names", nargs="+", metavar="NAME", help="the class names themselves")
    parser.add_argument("--out-dir", metavar="DIR", default="work_dirs/predictions", help="folder of the results")
    parser.add_argument(
        "--score-thr", type=float, help="list and draw boxes of a detector with a higher score; default: 0.3"
    )
    add_experiment_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Load the experiment, put images and names in, run its test loop."""
    args = parse_args()
    with exit_on_user_error("tools/predict.py"):
        cfg = load_experiment(args.config, args.cfg_options, args.work_dir or args.out_dir, args.launcher)
        use_checkpoint(cfg, args.checkpoint)
        predict_on_images(cfg, args.images, args.out_dir, args.score_thr)
        if args.names or args.vocabulary:
            use_vocabulary(cfg, names_of_arguments(args.names) if args.names else args.vocabulary)
        check_inputs(cfg, "test")
        found = build_runner(cfg, args.local_rank).test()
    if not found["predictions/num_images"]:
        sys.exit("tools/predict.py: none of the images could be read")


if __name__ == "__main__":
    main()
