"""Write images into webdataset tar shards, or index shards that are there; for ``ShardedImages``.

Examples:
    python tools/dataset_converters/images_to_shards.py pack data/coco/train2017 data/coco/train2017_shards
    python tools/dataset_converters/images_to_shards.py index 'data/sa1b/sa_{000000..000999}.tar' --workers 8
    python tools/dataset_converters/images_to_shards.py index 'https://HOST/sa_{000000..000099}.tar' \
        --out data/sa1b/shards.json --cache-dir /scratch/sa1b
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="write images into shards, with their index")
    pack.add_argument("source", help="folder, .json in COCO's format, or .txt with a path a line")
    pack.add_argument("out", help="folder to write to")
    pack.add_argument("--images", default="", help="folder that the paths of a .json or .txt are relative to")
    pack.add_argument("--images-per-shard", type=int, default=10_000)
    pack.add_argument("--prefix", default="shard", help="begin of the shards' names")
    index = commands.add_parser("index", help="write the index of shards, which are not changed")
    index.add_argument("shards", nargs="+", help="paths or addresses, with braces; local ones also with stars")
    index.add_argument("--out", help="the index; default: shards.json beside the first shard")
    index.add_argument("--cache-dir", help="folder that shards of an address are fetched to")
    index.add_argument("--workers", type=int, default=1, help="processes that read shards")
    return parser.parse_args()


def main() -> None:
    """Pack or index."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.datasets import UnlabeledImageDataset
    from densevlm_mm.datasets.shards import index_shards, pack_images

    with exit_on_user_error("tools/dataset_converters/images_to_shards.py"):
        if args.command == "pack":
            images = UnlabeledImageDataset(args.source, data_prefix=dict(img=args.images))
            out = Path(args.out) / "shards.json"
            counts = pack_images(images, args.out, args.images_per_shard, args.prefix)
        else:
            if args.out is None and "://" in args.shards[0]:
                raise ValueError("the index of shards of an address needs --out FILE.json")
            out = Path(args.out or Path(args.shards[0]).parent / "shards.json")
            counts = index_shards(args.shards, out, args.cache_dir, args.workers)
        print(f"{out}: {counts[1]:,} images in {counts[0]:,} shards")


if __name__ == "__main__":
    main()
