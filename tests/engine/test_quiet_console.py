import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.logging import print_log

from densevlm_mm.engine.quiet_console import quiet_console


@pytest.fixture(autouse=True)
def _forget_captured_warnings() -> Iterator[None]:
    logging.captureWarnings(False)
    yield
    logging.captureWarnings(False)


def test_the_console_has_what_is_meant_for_it_and_the_file_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    logger = quiet_console(tmp_path / "new" / "predict.log")
    warnings.warn("deprecated", UserWarning, stacklevel=1)
    print_log("a detail", "current")
    print_log("look here", "current", logging.WARNING)
    logger.info("street.jpg: tram 0.91", extra=dict(for_console=True))
    console, errors = (text.splitlines() for text in capsys.readouterr())
    assert errors == []
    assert len(console) == 2
    assert console[0].endswith("look here")
    assert console[1] == "street.jpg: tram 0.91"
    written = (tmp_path / "new" / "predict.log").read_text()
    assert all(text in written for text in ("a detail", "look here", "street.jpg: tram 0.91", "deprecated"))
