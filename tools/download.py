"""Fetch the weights, annotations and images that configs need, into the paths that they name.

What is there already stays as it is, a broken download goes on where it stopped, sizes and SHA-256 are compared where
they are known. Images, annotations and weights have licences of their own: --list shows them. What cannot be fetched
from here, without a network or because its terms must be agreed to, is listed with its address, for another machine;
the exit code is then 1. Archives stay in --archives, which can be deleted afterwards.

Examples:
    python tools/download.py --list
    python tools/download.py --for configs/densevlm/pretrain_coco.py
    python tools/download.py densevlm_coco_6_save6_512_eva_vib16_12layers.pt val2017
"""

import argparse
import sys

from densevlm_mm.downloads import known_downloads


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="what to fetch, see --list")
    parser.add_argument("--for", dest="config", metavar="CONFIG", help="fetch all that this config needs")
    parser.add_argument("--list", action="store_true", help="show the names")
    parser.add_argument("--archives", metavar="DIR", default="data/archives", help="folder that archives are kept in")
    args = parser.parse_args()
    if sum((bool(args.names), bool(args.config), args.list)) != 1:
        parser.error("give names, or --for CONFIG, or --list")
    return args


def listing() -> str:
    """The table of what can be fetched, and what can only be made or agreed to."""
    rows = [("NAME", "SIZE", "LICENCE", "WHAT")]
    for entry in known_downloads().values():
        size = f"{entry.size / 1e9:.1f} GB" if entry.size else ""
        what = entry.what if entry.is_fetchable else f"{entry.what} (not fetched: {entry.source})"
        rows.append((entry.name, size, entry.licence, what))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join("  ".join([*map(str.ljust, row[:3], widths), row[3]]) for row in rows)


def main() -> None:
    """Fetch, and say what is left."""
    args = parse_args()
    if args.list:
        print(listing())
        return

    from densevlm_mm.apis import exit_on_user_error, load_experiment
    from densevlm_mm.apis.experiment_downloads import fetch_experiment, fetch_names, named_downloads

    with exit_on_user_error("tools/download.py"):
        if args.config:
            outcome = fetch_experiment(load_experiment(args.config), args.archives)
        else:
            outcome = fetch_names(named_downloads(args.names), args.archives)
    print(outcome.report() or "everything is there")
    if outcome.left:
        sys.exit(1)


if __name__ == "__main__":
    main()
