r"""Find names in images and videos: with a trained detector or segmentor, or with an encoder alone.

An encoder alone (an exported file, hf-hub:ORG/REPOSITORY, ...) segments: every position of its dense map gets the name
it is nearest to. Written to --out-dir: predictions.json (names, scores, boxes, or shares of segments), pictures/,
videos/, and label_maps/ of a segmentation, named by the images' paths below the folder that you give. While it runs,
predictions.jsonl has what is done. Images that cannot be read are skipped and listed at the end and in skipped.json
(the exit code is 0 as long as one could be). The console has a line an image, predict.log everything.

Examples:
    python tools/predict.py weights/densevlm_eva02_b16.safetensors street.jpg --names tram "delivery van" road sky
    python tools/predict.py configs/fvit/ov-coco_b16_densevlm.py CHECKPOINT street.jpg --vocabulary names.txt
    python tools/predict.py configs/tiny/fvit_densevlm.py CHECKPOINT data/tiny_scenes/val --names boat "fishing boat"
    python tools/predict.py configs/cat_seg/cat-seg_vit-b16_densevlm.py CHECKPOINT drive.mp4 --out-dir drive
"""

import argparse
import sys
from pathlib import Path

from densevlm_mm.apis.arguments import add_experiment_arguments


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="CONFIG CHECKPOINT | ENCODER", help="detector, segmentor, or encoder weights")
    parser.add_argument("inputs", nargs="+", metavar="IMAGE", help="image files, URLs, folders, videos")
    classes = parser.add_mutually_exclusive_group()
    classes.add_argument(
        "--vocabulary", metavar="FILE", help=".txt with a name a line, .json, or a packaged vocabulary"
    )
    classes.add_argument("--names", nargs="+", metavar="NAME", help="the class names themselves")
    parser.add_argument("--out-dir", metavar="DIR", default="work_dirs/predictions", help="folder of the results")
    parser.add_argument(
        "--score-thr", type=float, help="list and draw boxes of a detector with a higher score; default: 0.3"
    )
    parser.add_argument("--show", action="store_true", help="show the pictures in a window")
    parser.add_argument("--wait-time", type=float, default=2, help="seconds that a shown picture stays")
    alone = parser.add_argument_group("an encoder alone")
    alone.add_argument("--templates", help="prompt templates: vild (default), openai_80, plain, ...")
    alone.add_argument("--input-size", type=int, metavar="PIXELS", help="longer side that images are resized to")
    alone.add_argument("--window", type=int, metavar="PIXELS", help="slide windows of this side over the resized image")
    parser.add_argument("--workers", type=int, default=2, help="processes that load images")
    parser.add_argument("--batch-size", type=int, default=1, help="images of one size that are predicted on at once")
    parser.add_argument("--device", help="default: the GPU if there is one")
    add_experiment_arguments(parser)
    args = parser.parse_args()
    args.checkpoint = None
    if args.model.endswith(".py"):
        args.checkpoint, *args.inputs = args.inputs
        if not args.inputs:
            parser.error(f"{args.model} is a config: give its CHECKPOINT and then images")
    return args


def main() -> None:
    """Build the model, predict on one image after the other."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error

    with exit_on_user_error("tools/predict.py"):
        found = predict(args)
    if not found["predictions/num_images"]:
        sys.exit("tools/predict.py: none of the images could be read")


def predict(args: argparse.Namespace) -> dict[str, float]:
    """Predict on everything; how many images there were."""
    from mmengine.dist import get_world_size

    from densevlm_mm.apis import connect_processes, names_of_arguments
    from densevlm_mm.engine.quiet_console import quiet_console
    from densevlm_mm.inference import DEFAULT_SCORE_THR, OpenVocabularyInferencer, ResultFolder, is_video, list_files

    score_thr = DEFAULT_SCORE_THR if args.score_thr is None else args.score_thr
    videos = [path for path in args.inputs if is_video(path)]
    urls = [path for path in args.inputs if "://" in path]
    files = [path for path in args.inputs if path not in videos and path not in urls]
    images = [*(list_files(files, args.out_dir) if files else ()), *urls]  # what is wrong about them comes first
    connect_processes(args.launcher, args.local_rank)
    if videos and get_world_size() > 1:
        raise ValueError(f"{videos[0]}: the frames of a video are read by one process, start one")
    quiet_console(Path(args.work_dir or args.out_dir) / "predict.log")
    see = OpenVocabularyInferencer(
        args.model,
        args.checkpoint,
        names_of_arguments(args.names) if args.names else args.vocabulary,
        device=args.device,
        templates=args.templates,
        input_size=args.input_size,
        window=args.window,
        score_thr=score_thr,
        cfg_options=args.cfg_options,
    )
    results = ResultFolder(args.out_dir, see.metainfo, score_thr, args.show, args.wait_time)
    results.write_images(see.stream(images, args.batch_size, args.workers, shard=True))
    for path in videos:
        results.write_video(path, see.stream(path, args.batch_size))
    return results.finish(len(images) if get_world_size() > 1 else None)


if __name__ == "__main__":
    main()
