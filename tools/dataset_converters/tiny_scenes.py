"""Generate TinyScenes in the COCO and mmseg file formats: ``python tools/dataset_converters/tiny_scenes.py OUT``."""

import argparse


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", help="folder to write to, for example data/tiny_scenes")
    parser.add_argument("--num-train", type=int, default=12000, help="training images")
    parser.add_argument("--num-val", type=int, default=500, help="validation images")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole world")
    parser.add_argument("--image-size", type=int, default=64, help="side in pixels; larger images show more things")
    parser.add_argument("--things", type=int, nargs=2, metavar=("MIN", "MAX"), help="things per image")
    parser.add_argument("--p-stuff", type=float, default=0.17, help="how often a caption mentions stuff beside things")
    return parser.parse_args()


def main() -> None:
    """Generate the world."""
    args = parse_args()

    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.tiny_scenes import generate_tiny_scenes

    with exit_on_user_error("tools/dataset_converters/tiny_scenes.py"):
        generate_tiny_scenes(
            args.out,
            num_train=args.num_train,
            num_val=args.num_val,
            seed=args.seed,
            image_size=args.image_size,
            things_per_image=tuple(args.things) if args.things else None,
            p_stuff=args.p_stuff,
        )


if __name__ == "__main__":
    main()
