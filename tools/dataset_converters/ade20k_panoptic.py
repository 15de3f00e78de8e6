"""Make ADE20K's panoptic annotations, in COCO's format, from its semantic maps and instances.

Needs images/ and annotations/ of ADEChallengeData2016 and annotations_instance/ of the Places Challenge 2017 in one
folder; writes ade20k_panoptic_val.json and ade20k_panoptic_val/ beside them.

Example: ``python tools/dataset_converters/ade20k_panoptic.py data/ade20k --nproc 8``, then the same with ``--verify``.
"""

import argparse

from densevlm_mm.apis import add_conversion_arguments

NUM_IMAGES = dict(validation=2000, training=20210)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", help="folder of images/, annotations/ and annotations_instance/")
    parser.add_argument("--split", choices=list(NUM_IMAGES), default="validation", help="what to convert")
    add_conversion_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Convert or verify."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.datasets.converters import ADE20KPanopticConverter

    with exit_on_user_error("tools/dataset_converters/ade20k_panoptic.py"):
        converter = ADE20KPanopticConverter(args.root, args.split)
        count = converter.verify(args.nproc) if args.verify else converter.convert(args.nproc)
        expected = NUM_IMAGES[args.split]
        note = "" if count == expected else f" (the release has {expected})"
        print(f"{'verified' if args.verify else 'converted'} {converter.json_file}: {count} images{note}")


if __name__ == "__main__":
    main()
