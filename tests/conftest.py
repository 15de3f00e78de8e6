"""Make mmdet and mmseg importable for every test, whatever it imports first; one default scope for all."""

import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterator

import pytest
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope

import densevlm_mm  # noqa: F401

# Class embeddings of tests, and of the tools that they run, are kept apart from the user's.
_CACHE = tempfile.TemporaryDirectory(prefix="densevlm_mm_tests_")
os.environ.setdefault("DENSEVLM_MM_CACHE", _CACHE.name)

# A shell lets its background jobs ignore Ctrl-C, and tests of stopping send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = [
    "tests.fixtures.devices",
    "tests.fixtures.file_server",
    "tests.fixtures.processes",
    "tests.fixtures.stock_clips",
    "tests.fixtures.text_clips",
]


@pytest.fixture(autouse=True)
def _default_scope() -> None:
    """Forget the scope and the log file that a Runner of an earlier test has left behind."""
    init_default_scope("densevlm_mm")
    for logger in MMLogger._instance_dict.values():
        for handler in [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]:
            logger.removeHandler(handler)
            handler.close()


@pytest.fixture
def capture_log() -> Iterator[Callable[[], list[str]]]:
    """What mmengine's logger has said since the test began, message by message."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lambda: messages
    logger.removeHandler(handler)
