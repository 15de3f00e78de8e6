"""A program with little on the console and everything in its log file."""

import logging
from pathlib import Path

from mmengine.logging import MMLogger


def quiet_console(log_file: str | Path) -> MMLogger:
    """Let the console show warnings and messages that are meant for it, in every process; the log file has everything.

    Warnings of Python's packages are kept off the console too.

    Args:
        log_file: Of the main process; its folder is made.

    Returns:
        The current logger.

    Example:
        >>> logger = quiet_console("work_dirs/predictions/predict.log")
        >>> logger.info("street.jpg: tram 0.91", extra=dict(for_console=True))
    """
    Path(log_file).parent.mkdir(parents=True, exist_ok=True)
    logger = MMLogger.get_instance(f"densevlm_mm {log_file}", logger_name="densevlm_mm", log_file=str(log_file))
    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            # mmengine's level for other processes than the main one is ERROR; each has messages of its images.
            handler.addFilter(_ForConsole(max(handler.level, logging.WARNING)))
            handler.setLevel(logging.INFO)
            handler.setFormatter(_Plain(handler.formatter))
    logging.captureWarnings(True)
    python_warnings = logging.getLogger("py.warnings")
    python_warnings.propagate = False
    python_warnings.handlers = [each for each in logger.handlers if isinstance(each, logging.FileHandler)]
    return logger


class _ForConsole(logging.Filter):
    def __init__(self, level: int) -> None:
        super().__init__()
        self.level = level

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.level or getattr(record, "for_console", False)


class _Plain(logging.Formatter):
    """Messages for the console as they are, all others in the usual form."""

    def __init__(self, usual: logging.Formatter | None) -> None:
        super().__init__()
        self.usual = usual or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage() if getattr(record, "for_console", False) else self.usual.format(record)
