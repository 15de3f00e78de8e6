"""Convert objects that you have annotated to the panoptic format, to test an encoder on them.

SOURCE is a json of instances in COCO's format, or a folder with images and LabelMe files. Writes OUT/panoptic.json,
OUT/panoptic/ and OUT/vocabulary.json, with which docs/your_own_data.md goes on.

Example: ``python tools/dataset_converters/own_regions.py data/streets data/streets_panoptic --stuff sky road``
"""

import argparse
from pathlib import Path


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="json in COCO's format, or folder with LabelMe files")
    parser.add_argument("out", help="folder to write to")
    parser.add_argument("--stuff", nargs="*", default=[], metavar="NAME", help="classes that are stuff, not things")
    return parser.parse_args()


def main() -> None:
    """Convert."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.datasets.converters.region_annotations import read_coco, read_labelme, write_panoptic

    with exit_on_user_error("tools/dataset_converters/own_regions.py"):
        images = read_labelme(args.source) if Path(args.source).is_dir() else read_coco(args.source)
        print(f"{args.out}: {write_panoptic(images, args.out, args.stuff)}")


if __name__ == "__main__":
    main()
