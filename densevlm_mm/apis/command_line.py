"""What the command lines of the tools share."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.config import Config
from mmengine.dist import init_dist, is_distributed
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from densevlm_mm.apis.user_errors import log_traceback, user_message
from densevlm_mm.compat.cpu_distributed import init_cpu_process_group
from densevlm_mm.compat.loader_temp_dir import share_loader_temp_dir


@contextmanager
def exit_on_user_error(tool: str) -> Iterator[None]:
    """End the program with a message and no traceback if what the user gave, or the machine, is at fault.

    That holds while it builds as well as hours later. Once a run has a log file, tracebacks go there; those of bugs
    are shown, too.

    Args:
        tool: The tool's path, as it stands before the message.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"{tool}: interrupted", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        log_file = log_traceback()
        message = user_message(error)
        if message is None:
            raise
        sys.exit(f"{tool}: {message}" + (f"\n(the traceback is in {log_file})" if log_file else ""))


def connect_processes(launcher: str, local_rank: int = 0) -> None:
    """Let the processes that a launcher started know each other, where no runner does it.

    Args:
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        local_rank: As :func:`build_runner`.
    """
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    init_cpu_process_group(launcher)
    if launcher != "none" and not is_distributed():
        init_dist(launcher)


def build_runner(cfg: Config, local_rank: int = 0) -> Runner:
    """Build the runner of an experiment, its processes connected.

    Args:
        cfg: The experiment; ``cfg.launcher`` says how its processes were started.
        local_rank: Number of this process on its machine, where the launcher sets no ``LOCAL_RANK``.
    """
    share_loader_temp_dir()
    os.environ.setdefault("LOCAL_RANK", str(local_rank))
    init_cpu_process_group(cfg.launcher)
    return RUNNERS.build(cfg) if "runner_type" in cfg else Runner.from_cfg(cfg)
