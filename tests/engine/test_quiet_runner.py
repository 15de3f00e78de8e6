import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.logging import MMLogger, print_log
from mmengine.model import BaseModel

from densevlm_mm.engine import QuietRunner


class Model(BaseModel):
    def forward(self, *args: Any, **kwargs: Any) -> list:
        return []


@pytest.fixture(autouse=True)
def _forget_captured_warnings() -> Iterator[None]:
    logging.captureWarnings(False)
    yield
    logging.captureWarnings(False)


def test_the_console_has_what_is_meant_for_it_and_the_file_everything(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    runner = QuietRunner(Model(), str(tmp_path), experiment_name=f"quiet_{tmp_path.name}", default_scope="densevlm_mm")
    capsys.readouterr()
    warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
    print_log("a detail", "current")
    print_log("look here", "current", logging.WARNING)
    MMLogger.get_current_instance().info("street.jpg: tram 0.91", extra=dict(for_console=True))
    console, errors = (text.splitlines() for text in capsys.readouterr())
    assert errors == []
    assert len(console) == 2
    assert console[0].endswith("look here")
    assert console[1] == "street.jpg: tram 0.91"
    (log,) = Path(runner.log_dir).glob("*.log")
    written = log.read_text()
    assert "System environment" in written
    assert all(text in written for text in ("a detail", "look here", "street.jpg: tram 0.91", "deprecated"))
