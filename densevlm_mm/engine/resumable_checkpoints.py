"""Which checkpoint of a work directory a run goes on from."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from densevlm_mm.checkpoint_files import read_checkpoint

_NAMES = ("iter_{}.pth", "epoch_{}.pth")


def checkpoint_folder(work_dir: str | Path, out_dir: str | Path | None = None) -> Path:
    """Where the checkpoint hook of a run with this work directory writes; `out_dir` is the hook's."""
    return Path(work_dir) if out_dir is None else Path(out_dir) / Path(work_dir).resolve().name


def list_checkpoints(folder: Path, template: str | None = None) -> list[Path]:
    """List the files that are named like checkpoints of the hook, the furthest one first.

    Args:
        folder: Where they lie.
        template: The hook's ``filename_tmpl``, if it is not mmengine's.
    """
    found: dict[Path, tuple[int, int]] = {}
    for rank, name in enumerate([n for n in (template, *_NAMES) if n is not None]):
        pattern = re.compile(re.escape(name).replace(r"\{\}", r"(\d+)"))
        for path in folder.glob("*") if folder.is_dir() else ():
            match = pattern.fullmatch(path.name)
            if match:
                found.setdefault(path, (rank, int(match[1])))
    if len({rank for rank, _ in found.values()}) > 1:  # epochs and iterations: only the files know which is further
        return sorted(found, key=lambda path: _meta(path).get("iter", -1), reverse=True)
    return sorted(found, key=lambda path: found[path][1], reverse=True)


def why_not_resumable(path: Path) -> str | None:
    """Say why a run cannot go on from a file; ``None`` if it can.

    The file is read to its end: torch does not look at the checksums that it stores.
    """
    if not path.is_file():
        return "is gone"
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = _content(path)
    except zipfile.BadZipFile:
        return "is cut short or no checkpoint"
    except (OSError, ValueError, RuntimeError, EOFError, zlib.error) as error:  # zipfile's, of damaged archives
        return f"cannot be read ({error})"
    if damaged is not None:
        return f"is damaged (in {damaged})"
    parts = content if isinstance(content, dict) else {}
    missing = [part for part in ("meta", "state_dict", "optimizer", "message_hub") if part not in parts]
    return f"has no {', '.join(missing)}: it holds weights to start from, not a run to go on with" if missing else None


def find_resumable(work_dir: Path, folder: Path | None = None, template: str | None = None) -> tuple[Path | None, str]:
    """Find the checkpoint from which the run of a work directory goes on.

    That is the one that ``last_checkpoint`` names, looked for by its name in this run's folder alone: the folder may
    have been renamed, or copied from another run's. If it is not whole, the furthest whole one is taken.

    Args:
        work_dir: The work directory.
        folder: Where the checkpoints lie, if not there.
        template: The hook's ``filename_tmpl``, if it is not mmengine's.

    Returns:
        The checkpoint, ``None`` if the run has not saved any yet, and a sentence about the choice.

    Raises:
        ValueError: If there are traces of checkpoints and none from which the run can go on; lists them with reasons.
    """
    folder = folder or work_dir
    pointer = work_dir / "last_checkpoint"
    named = Path(pointer.read_text(encoding="utf-8", errors="replace").strip()).name if pointer.is_file() else ""
    candidates = list_checkpoints(folder, template)
    if named:
        candidates = [folder / named, *(path for path in candidates if path.name != named)]
    reasons: list[str] = []
    for path in candidates:
        reason = why_not_resumable(path)
        if reason is None:
            passed_over = f" ({'; '.join(reasons)})" if reasons else ""
            return path, f"The run goes on from {path}, the newest whole checkpoint of {folder}{passed_over}."
        reasons.append(f"{path.name} {reason}")
    others = [f"{path.name} {why_not_resumable(path)}" for path in sorted(folder.glob("best_*.pth"))]
    if not reasons and not others and not pointer.is_file():
        return None, f"{work_dir} has no checkpoint yet: the run starts anew."
    listed = "\n".join(f"  {line}" for line in [*reasons, *others] or ["last_checkpoint is empty, there is no other"])
    raise ValueError(
        f"--resume: there is no checkpoint in {folder} to go on from:\n{listed}\nName one with --resume CHECKPOINT, or "
        "start anew in another --work-dir."
    )


def _content(path: Path) -> Any:
    return read_checkpoint(path, verify=False).content


def _meta(path: Path) -> dict:
    try:
        return _content(path)["meta"]
    except (OSError, ValueError, LookupError, TypeError):
        return {}
