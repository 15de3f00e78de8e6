"""Show in the browser what an encoder sees in a photograph; `make web` runs this.

Similarity maps of words, segmentation without training, names of regions, and the foreground bias; one encoder, or two
side by side, such as before and after training. The page is served on this machine alone (127.0.0.1). docs/web.md
explains the views.

Examples:
    python tools/web.py
    python tools/web.py --encoder weights/eva02_b16_initial.safetensors weights/densevlm_eva02_b16.safetensors
"""

import argparse
import signal
import sys
import threading
import webbrowser


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--encoder",
        nargs="+",
        metavar="FILE",
        help="weights of one or two encoders, by any of their names; default: the embedded TinyScenes CLIPs",
    )
    parser.add_argument("--port", type=int, help="default: the first free one from 7860 on")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    return parser.parse_args()


def main() -> None:
    """Serve the page until Ctrl-C or SIGTERM, both of which leave no files behind."""
    args = parse_args()
    from densevlm_mm.apis import exit_on_user_error
    from densevlm_mm.engine.quiet_console import quiet_console
    from densevlm_mm.web import TINY_SCENES, serve

    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with exit_on_user_error("tools/web.py"):
        quiet_console("work_dirs/web/web.log")
        with serve(args.encoder or TINY_SCENES, args.port, args.device) as address:
            print(f"the page is at {address} (Ctrl-C ends it)", flush=True)
            if args.open:
                webbrowser.open(address)
            threading.Event().wait()


if __name__ == "__main__":
    main()
