"""What is said of an error to whoever started a tool."""

import errno
import logging
import reprlib
import shutil
import sys
import traceback
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.registry.build_functions import build_from_cfg

# Errors in what the user gave, or of the machine. Everything else is a bug, whose traceback has to be seen.
_AT_FAULT = (ImportError, KeyError, MemoryError, OSError, ValueError)
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def user_message(error: Exception) -> str | None:
    """Say in a sentence what went wrong; ``None`` for errors that are bugs.

    Args:
        error: The error. One that comes out of a process of a data loader, with that process's traceback as its text,
            counts as what it was there.
    """
    kind, text = _in_the_worker(error)
    if text.startswith("DataLoader worker"):
        return (
            f"{text.strip(' .')}. The system kills processes when memory runs out: use fewer num_workers or a smaller "
            "batch_size."
        )
    if isinstance(error, TypeError) and kind is None:
        return _while_building(error)
    if not isinstance(error, _AT_FAULT) and kind is None:
        return None
    if isinstance(error, OSError) and error.errno in _FULL_DISK and error.filename is None and "free" not in text:
        return f"{text}{_free_space()}"
    return text if isinstance(error, _AT_FAULT) else f"{kind}: {text}"


def _while_building(error: TypeError) -> str | None:
    """What a constructor made of the values in a config: a name that it does not take, or a value of another kind."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code is build_from_cfg.__code__]
    built = frames[-1].f_locals if frames else {}
    if "obj_cls" not in built:
        return None
    kind = getattr(built["obj_cls"], "__name__", built["obj_cls"])
    given = {key: value for key, value in built["args"].items() if isinstance(value, str | int | float | list | tuple)}
    shorten = reprlib.Repr()
    shorten.maxdict, shorten.maxstring = 12, 60
    values = shorten.repr(given)
    return f"{kind} cannot be built from its config: {error}. Look at the names and kinds of its values, {values}"


def log_traceback() -> str | None:
    """Write the current exception to the log file of the run, if there is one; return its path."""
    path = _log_file()
    for handler in MMLogger.get_current_instance().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.emit(logging.LogRecord("densevlm_mm", logging.ERROR, "", 0, "stopped by", (), sys.exc_info()))
    return path


def _in_the_worker(error: Exception) -> tuple[str | None, str]:
    """Class (if it is known from there) and text of the error in the loader's process, or the text as it is."""
    # str() would put a KeyError's message in quotes
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if not text.startswith("Caught ") or "Original Traceback" not in text:
        return None, text
    lines = text.rstrip().splitlines()
    frames = [index for index, line in enumerate(lines) if line.startswith('  File "')]
    rest = lines[frames[-1] + 1 :] if frames else lines[-1:]
    while rest and rest[0].startswith("    "):  # the line of code, and marks below it
        rest = rest[1:]
    kind, _, message = "\n".join(rest).partition(": ")
    if kind.rpartition(".")[2] == "KeyError":
        message = message.strip("'\"")
    return kind.rpartition(".")[2], message or text


def _log_file() -> str | None:
    handlers = MMLogger.get_current_instance().handlers
    return next((h.baseFilename for h in handlers if isinstance(h, logging.FileHandler)), None)


def _free_space() -> str:
    log_file = _log_file()
    if log_file is None:
        return ""
    folder = Path(log_file).parent
    return f" ({folder} has {shutil.disk_usage(folder).free / 2**20:.1f} MiB free)"
