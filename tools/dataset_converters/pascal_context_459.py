"""Convert Pascal Context's 459-class annotations to PC-459.

Example: ``python tools/dataset_converters/pascal_context_459.py data/pascal_context --nproc 8``, then the same with
``--verify``.
"""

import argparse

from densevlm_mm.apis import add_conversion_arguments

NUM_IMAGES = 5104


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "root", help="folder with trainval/ of Pascal Context (.mat) and VOC2010/, for example data/pascal_context"
    )
    parser.add_argument(
        "--split", help="list of images, one name a line; default: the validation list below VOC2010/ImageSets"
    )
    add_conversion_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Convert or verify."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.datasets.converters import PascalContext459Converter

    with exit_on_user_error("tools/dataset_converters/pascal_context_459.py"):
        converter = PascalContext459Converter(args.root, args.split)
        summary = converter.verify(args.nproc) if args.verify else converter.convert(args.nproc)
        print(("verified " if args.verify else "converted ") + summary.report("PC-459 validation", NUM_IMAGES))


if __name__ == "__main__":
    main()
