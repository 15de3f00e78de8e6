"""A run with little on the console."""

import logging
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from densevlm_mm.registry import RUNNERS


@RUNNERS.register_module()
class QuietRunner(Runner):
    """mmengine's runner, whose console shows the log's warnings and messages that are meant for it.

    The log file has everything, with the warnings of Python's packages, which are kept off the console too.

    Example:
        >>> cfg.runner_type = 'densevlm_mm.QuietRunner'
        >>> MMLogger.get_current_instance().info('street.jpg: tram 0.91', extra=dict(for_console=True))
    """

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger, its console quiet in every process."""
        logger = super().build_logger(*args, **kwargs)
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
