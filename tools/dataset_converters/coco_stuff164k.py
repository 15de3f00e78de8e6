"""Convert COCO-Stuff-164k's pixel maps to the 171 labels that mmsegmentation trains on.

Example: ``python tools/dataset_converters/coco_stuff164k.py data/coco --nproc 8``, then the same with ``--verify``.
"""

import argparse

from densevlm_mm.apis import add_conversion_arguments

NUM_IMAGES = dict(train2017=118287, val2017=5000)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "root", help="COCO's folder with train2017/, val2017/ and stuffthingmaps/, for example data/coco"
    )
    parser.add_argument(
        "--splits", nargs="+", choices=list(NUM_IMAGES), default=list(NUM_IMAGES), help="what to convert"
    )
    add_conversion_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Convert or verify."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.datasets.converters import COCOStuff164kConverter

    with exit_on_user_error("tools/dataset_converters/coco_stuff164k.py"):
        converter = COCOStuff164kConverter(args.root, args.splits)
        summary = converter.verify(args.nproc) if args.verify else converter.convert(args.nproc)
        print(
            ("verified " if args.verify else "converted ")
            + summary.report(f"COCO-Stuff {' + '.join(args.splits)}", sum(NUM_IMAGES[split] for split in args.splits))
        )


if __name__ == "__main__":
    main()
