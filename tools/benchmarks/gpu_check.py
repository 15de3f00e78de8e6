"""Check on one GPU what only a GPU can show; needs no network and no data, at most eight minutes.

Every check prints whether it passes, with a figure, in a process of its own, so that one that fails does not stop the
rest. Writes DIR/gpu_check.json and DIR/gpu_check.md.

Examples:
    python tools/benchmarks/gpu_check.py --out work_dirs/gpu_check
    python tools/benchmarks/gpu_check.py --out work_dirs/gpu_check --cpu     # the same, small, without a GPU
    python tools/benchmarks/gpu_check.py --out work_dirs/gpu_check --only float16 resume
"""

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from pathlib import Path

_SECONDS = 480.0
_SECONDS_A_CHECK = 150.0


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for results and runs")
    parser.add_argument("--cpu", action="store_true", help="small sizes, on the CPU, in one process")
    parser.add_argument("--only", nargs="+", metavar="CHECK", help="these checks alone")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # what a process of its own is started with
    return parser.parse_args()


def run_here(name: str, out: Path, small: bool) -> dict:
    """Run a check in this process."""
    import device_checks

    losses = out / "reference.json"
    settings = device_checks.Settings(out, small, json.loads(losses.read_text()) if losses.exists() else None)
    began = time.monotonic()
    try:
        figure, passed = {**device_checks.CHECKS, "reference": device_checks.reference}[name](settings), True
    except device_checks.CheckError as error:
        figure, passed = str(error), False
    except Exception:
        figure, passed = traceback.format_exc(limit=-3), False
    if name == "reference" and passed:
        losses.write_text(figure)
    return dict(name=name, passed=passed, figure=figure, seconds=round(time.monotonic() - began, 1))


def run_apart(name: str, out: Path, seconds: float) -> dict:
    """Run a check in a process of its own, which a sticky error of CUDA ends with it."""
    environment = dict(os.environ, **({"CUDA_VISIBLE_DEVICES": ""} if name == "reference" else {}))
    command = [sys.executable, __file__, "--out", str(out), "--one", name]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, env=environment, timeout=seconds, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False,
        )  # fmt: skip
        (out / f"{name}.log").write_text(done.stdout)
        return json.loads((out / f"{name}.json").read_text())
    except subprocess.TimeoutExpired:
        figure = f"took more than {seconds:.0f} s"
    except (OSError, ValueError):
        figure = f"its process ended with status {done.returncode}: {out / name}.log"
    return dict(name=name, passed=False, figure=figure, seconds=round(time.monotonic() - began, 1))


def table(results: list[dict]) -> str:
    """The results as a Markdown table."""
    rows = [f"| {r['name']} | {'pass' if r['passed'] else 'FAIL'} | {_cell(r['figure'])} |" for r in results]
    return "\n".join(["| check | | figure |", "|---|---|---|", *rows]) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main() -> None:
    """Run the checks; exit with 1 if one does not pass."""
    args = parse_args()
    os.chdir(Path(__file__).resolve().parents[2])
    sys.path.insert(0, str(Path(__file__).parent))
    if args.cpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import device_checks
    from timing import DEVICE

    if args.one:
        (args.out / f"{args.one}.json").write_text(json.dumps(run_here(args.one, args.out, False)))
        return
    if unknown := sorted(set(args.only or ()) - set(device_checks.CHECKS)):
        sys.exit(f"gpu_check.py: there is no check {unknown[0]!r}; there are {', '.join(device_checks.CHECKS)}.")
    if DEVICE.type != "cuda" and not args.cpu:
        sys.exit("gpu_check.py: torch sees no GPU; --cpu runs a small version without one.")
    args.out = args.out.resolve()
    args.out.mkdir(parents=True, exist_ok=True)
    if any(args.out.iterdir()):
        sys.exit(f"gpu_check.py: {args.out} is not empty: give --out a new folder.")
    results = []
    began = time.monotonic()
    chosen = args.only or [name for name in device_checks.CHECKS if not (args.cpu and name == "step_16")]
    for name in ["reference", *chosen]:
        left = _SECONDS - (time.monotonic() - began)
        if args.cpu:
            result = run_here(name, args.out, True)
        elif left <= 0:
            result = dict(name=name, passed=False, figure=f"not run: {_SECONDS:.0f} s are over", seconds=0.0)
        else:
            result = run_apart(name, args.out, min(left, _SECONDS_A_CHECK))
        if name == "reference" and result["passed"]:
            continue
        results.append(result)
        verdict = "pass" if result["passed"] else "FAIL"
        print(f"{verdict}  {name:14} {result['figure']}  ({result['seconds']} s)", flush=True)
        (args.out / "gpu_check.json").write_text(json.dumps(results, indent=1) + "\n")
        (args.out / "gpu_check.md").write_text(table(results))
    sys.exit(0 if all(result["passed"] for result in results) else 1)


if __name__ == "__main__":
    main()
