"""Make what TinyScenes starts from, from nothing: the world, the student CLIP, the refined teacher CLIP.

    python tools/tiny/make_assets.py work_dirs/tiny_assets

writes student.safetensors, teacher.safetensors and the logs. Student and teacher train side by side, one thread each;
the teacher is then refined by CLIPSelf with tools/train.py, as the real teacher was. The committed files in
densevlm_mm/tiny_scenes/assets were made this way.
"""

import argparse
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_in_order(log: Path, *commands: list[str]) -> None:
    """Run tools of this repository one after the other, output in a log file.

    Raises:
        RuntimeError: If one fails; names the log to read.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with log.open("w") as stream:
        for command in commands:
            code = subprocess.call(
                [sys.executable, *command], cwd=ROOT, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )
            if code != 0:
                raise RuntimeError(f"{' '.join(command)} failed with exit code {code}; see {log}")


def main() -> None:
    """Make the world and both CLIPs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument(
        "--data", type=Path, default=Path("data/tiny_scenes"), help="TinyScenes; made if it is not there"
    )
    parser.add_argument("--student-seed", type=int, default=0)
    parser.add_argument("--teacher-seed", type=int, default=0)
    args = parser.parse_args()

    from densevlm_mm.tiny_scenes import generate_tiny_scenes
    from densevlm_mm.tiny_scenes.clip import STUDENT_NAME, TEACHER_NAME

    out, data = args.out_dir.resolve(), args.data.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if not (data / "annotations" / "panoptic_val.json").is_file():
        generate_tiny_scenes(data)

    raw, refined = str(out / "teacher_raw.safetensors"), out / "refinement"
    loaders = ("train_dataloader.dataset.dataset", "val_dataloader.dataset", "test_dataloader.dataset")
    options = [f"{loader}.data_root={data}" for loader in loaders]
    options += [f"model.encoder.checkpoint={raw}", f"default_hooks.teacher.teacher.checkpoint={raw}"]
    clip = ["tools/tiny/train_clip.py", str(data)]
    shutil.rmtree(refined, ignore_errors=True)  # of an earlier time: training does not mingle runs
    student_commands = [
        [*clip, str(out / "student.safetensors"), "--model", STUDENT_NAME, "--seed", str(args.student_seed)]
    ]
    teacher_commands = [
        [*clip, raw, "--model", TEACHER_NAME, "--seed", str(args.teacher_seed)],
        ["tools/train.py", "configs/tiny/refine_teacher.py", "--work-dir", str(refined), "--cfg-options", *options],
        [
            "tools/export_encoder.py",
            str(refined / "iter_150.pth"),
            str(out / "teacher.safetensors"),
            "--dtype",
            "bfloat16",
        ],
    ]
    with ThreadPoolExecutor(2) as pool:
        chains = [
            pool.submit(run_in_order, out / "student.log", *student_commands),
            pool.submit(run_in_order, out / "teacher.log", *teacher_commands),
        ]
        for chain in chains:
            chain.result()
    print(f"wrote {out}/student.safetensors and {out}/teacher.safetensors")


if __name__ == "__main__":
    main()
