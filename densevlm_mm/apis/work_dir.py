"""The work directory of a run: who may write to it, and which of its checkpoints the run goes on from."""

import os
from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log

from densevlm_mm.engine.resumable_checkpoints import (
    checkpoint_folder,
    find_resumable,
    list_checkpoints,
    why_not_resumable,
)
from densevlm_mm.engine.run_lock import lock_work_dir
from densevlm_mm.files import remove_partial_files

# The number of the process in the environment, before the processes are connected.
_RANKS = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_RANK"}


def claim_work_dir(cfg: Config, resume: str | None = None) -> None:
    """Take a work directory for a training run, before anything is built.

    The main process holds it and clears away what killed processes left half written. All find the checkpoint to go on
    from; without any, a run that resumes "the latest" starts anew, so that a job may queue itself again and again.

    Args:
        cfg: The experiment; ``resume`` and ``load_from`` are set.
        resume: What ``--resume`` says: ``None`` for what the config says, ``'auto'`` for the newest checkpoint of the
            work directory, or a checkpoint's path.

    Raises:
        ValueError: If another run is writing there; if there are checkpoints of an earlier run that this one would
            mingle with its own; or if there is none that it can go on from.
        FileNotFoundError: If the named checkpoint does not exist.
    """
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    work_dir = Path(cfg.work_dir)
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    folder, template = checkpoint_folder(work_dir, hook.get("out_dir")), hook.get("filename_tmpl")
    named = None if resume in (None, "auto") else Path(str(resume))
    if named is not None and not named.is_file():
        raise FileNotFoundError(f"--resume: there is no checkpoint {named}; without a path the latest one is taken.")
    is_main = _is_main_process(cfg)
    if is_main:
        work_dir.mkdir(parents=True, exist_ok=True)
        lock_work_dir(work_dir)
        for place in {work_dir, folder}:
            remove_partial_files(place)
        if resume is None or (named is not None and named.resolve().parent != folder.resolve()):
            _refuse_to_mingle(work_dir, folder, template)
    if named is not None:
        reason = why_not_resumable(named)
        if reason is not None:
            raise ValueError(f"--resume: {named} {reason}.")
        cfg.resume, cfg.load_from = True, str(named)
    elif resume is not None:
        found, sentence = find_resumable(work_dir, folder, template)
        if is_main:
            print_log(sentence, "current")
        cfg.resume = found is not None
        if found is not None:
            cfg.load_from = str(found)


def default_work_dir(config: str | Path) -> Path:
    """Where a run of a config goes if nobody says where."""
    return Path("work_dirs") / Path(config).stem


def choose_work_dir(cfg: Config, resume: str | None = None) -> None:
    """Give each run of a config a place of its own, where its user has named none; before :func:`claim_work_dir`.

    A config that is run again goes to ``work_dirs/<name>_2``, ``_3``, ...: the first without checkpoints. ``--resume``
    goes on in the last one that has some, or in that of the checkpoint it names.

    Args:
        cfg: The experiment; its ``work_dir`` is changed in place, if it is not one that the config names.
        resume: What ``--resume`` says, see :func:`claim_work_dir`.
    """
    default = Path(cfg.work_dir)
    hook = (cfg.get("default_hooks") or {}).get("checkpoint") or {}
    if default != default_work_dir(cfg.filename) or hook.get("out_dir"):
        return
    if resume is None and cfg.get("resume"):
        resume = cfg.get("load_from") or "auto"
    named = None if resume in (None, "auto") else Path(str(resume)).resolve().parent
    place, number, last = default, 1, default
    while _earlier_checkpoints(place, place, hook.get("filename_tmpl")) is not None:
        if named == place.resolve():
            break
        last, number = place, number + 1
        place = default.with_name(f"{default.name}_{number}")
    if resume == "auto":
        place = last
    elif place != default and resume is None and _is_main_process(cfg):
        print_log(f"{last} has an earlier run of this config; this one goes to {place}.", "current")
    cfg.work_dir = str(place)


def _is_main_process(cfg: Config) -> bool:
    return os.environ.get(_RANKS.get(cfg.get("launcher", "none"), ""), "0") == "0"


def _earlier_checkpoints(work_dir: Path, folder: Path, template: str | None) -> list[Path] | None:
    """Checkpoints of an earlier run, the newest first; None if there was none."""
    found = [*list_checkpoints(folder, template), *folder.glob("best_*.pth")]
    return found if found or (work_dir / "last_checkpoint").is_file() else None


def _refuse_to_mingle(work_dir: Path, folder: Path, template: str | None) -> None:
    found = _earlier_checkpoints(work_dir, folder, template)
    if found is not None:
        newest = f" ({found[0].name})" if found else ""
        raise ValueError(
            f"{folder} holds checkpoints of an earlier run{newest}, which a new one would delete one by one. Go on "
            "with it by --resume, give this one another --work-dir, or remove them."
        )
