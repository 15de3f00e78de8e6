"""Convert ADE20K_2021_17_01 to A-847, the 847-class validation set.

Example: ``python tools/dataset_converters/ade20k_847.py data/ADE20K_2021_17_01 data/ade20k_847 --nproc 8``, then the
same with ``--verify``.
"""

import argparse

from densevlm_mm.apis import add_conversion_arguments

NUM_IMAGES = dict(training=25574, validation=2000)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="the unpacked ADE20K_2021_17_01, which has images/ADE/validation")
    parser.add_argument("out", help="folder to write to, for example data/ade20k_847")
    parser.add_argument("--splits", nargs="+", choices=list(NUM_IMAGES), default=["validation"], help="what to convert")
    add_conversion_arguments(parser)
    return parser.parse_args()


def main() -> None:
    """Convert or verify."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.datasets.converters import ADE20K847Converter

    with exit_on_user_error("tools/dataset_converters/ade20k_847.py"):
        converter = ADE20K847Converter(args.source, args.out, args.splits)
        summary = converter.verify(args.nproc) if args.verify else converter.convert(args.nproc)
        print(
            ("verified " if args.verify else "converted ")
            + summary.report(f"A-847 {' + '.join(args.splits)}", sum(NUM_IMAGES[split] for split in args.splits))
        )


if __name__ == "__main__":
    main()
