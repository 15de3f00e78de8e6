"""Make everything TinyScenes starts from, from nothing: the world, the student CLIP, the refined teacher CLIP.

    python tools/tiny/make_assets.py OUT_DIR

writes ``OUT_DIR/tiny_scenes_student.safetensors``, ``OUT_DIR/tiny_scenes_teacher.safetensors``, the logs of the two
training processes and, unless ``--data`` names an existing one, the world in ``OUT_DIR/tiny_scenes``. The committed
files in ``densevlm_mm/assets`` were made this way. Student and teacher train side by side, one thread each.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from densevlm_mm.datasets.tiny_scenes import generate_tiny_scenes
from densevlm_mm.models.encoders.tiny_clip import STUDENT_NAME, TEACHER_NAME

TRAIN_CLIP = Path(__file__).resolve().with_name("train_clip.py")


def train_command(data: Path, out: Path, *options: str) -> list[str]:
    """Command line of one run of train_clip.py."""
    return [sys.executable, str(TRAIN_CLIP), str(data), str(out), *options]


def run_side_by_side(chains: dict[str, list[list[str]]], log_dir: Path) -> None:
    """Run each chain of commands in order, the chains at the same time.

    Raises:
        RuntimeError: If a command fails; names the log to read.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    logs = {name: log_dir / f"{name}.log" for name in chains}
    running: dict[str, subprocess.Popen[bytes]] = {}
    pending = {name: list(commands) for name, commands in chains.items()}
    for log in logs.values():
        log.unlink(missing_ok=True)
    try:
        while pending or running:
            for name in [name for name in pending if name not in running]:
                with logs[name].open("ab") as stream:
                    running[name] = subprocess.Popen(
                        pending[name].pop(0), env=environment, stdout=stream, stderr=subprocess.STDOUT
                    )
            for name, process in list(running.items()):
                try:
                    code = process.wait(timeout=1)
                except subprocess.TimeoutExpired:
                    continue
                if code != 0:
                    raise RuntimeError(f"{name} failed with exit code {code}; see {logs[name]}")
                del running[name]
                if not pending[name]:
                    del pending[name]
    finally:
        for process in running.values():
            process.terminate()


def main() -> None:
    """Make the world and both CLIPs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--data", type=Path, help="an existing TinyScenes folder instead of a new one")
    parser.add_argument("--student-seed", type=int, default=0)
    parser.add_argument("--teacher-seed", type=int, default=0)
    args = parser.parse_args()
    args.out_dir.mkdir(parents=True, exist_ok=True)
    data = args.data or generate_tiny_scenes(args.out_dir / "tiny_scenes")
    student = args.out_dir / "tiny_scenes_student.safetensors"
    teacher = args.out_dir / "tiny_scenes_teacher.safetensors"
    raw = args.out_dir / "tiny_scenes_teacher_raw.safetensors"
    teacher_options = ["--model", TEACHER_NAME, "--seed", str(args.teacher_seed)]
    chains = {
        "student": [train_command(data, student, "--model", STUDENT_NAME, "--seed", str(args.student_seed))],
        "teacher": [
            train_command(data, raw, *teacher_options),
            train_command(data, teacher, *teacher_options, "--refine", str(raw)),
        ],
    }
    run_side_by_side(chains, args.out_dir)
    for name in chains:
        print((args.out_dir / f"{name}.log").read_text().splitlines()[-1])


if __name__ == "__main__":
    main()
