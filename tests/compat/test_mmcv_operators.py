import importlib
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from densevlm_mm.compat import mmcv_ext
from densevlm_mm.compat.mmcv_operators import has_compiled_operators, install_mmcv_operators


@pytest.fixture
def other_mmcv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an empty mmcv that is found instead of the installed one."""
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("mmcv", "mmcv._ext"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return package


@pytest.mark.usefixtures("other_mmcv")
def test_stand_in_is_used_without_compiled_operators() -> None:
    assert not has_compiled_operators()
    install_mmcv_operators()
    assert sys.modules["mmcv._ext"] is mmcv_ext
    install_mmcv_operators()
    assert sys.modules["mmcv._ext"] is mmcv_ext


def test_compiled_operators_that_load_are_untouched(other_mmcv: Path) -> None:
    (other_mmcv / "_ext.py").write_text("compiled = True\n")
    install_mmcv_operators()
    assert sys.modules["mmcv._ext"].compiled


def test_compiled_operators_that_do_not_load_are_replaced_with_a_warning(other_mmcv: Path) -> None:
    (other_mmcv / f"_ext{EXTENSION_SUFFIXES[0]}").write_bytes(b"built for another torch")
    with pytest.warns(UserWarning, match="do not load with this torch"):
        install_mmcv_operators()
    assert sys.modules["mmcv._ext"] is mmcv_ext


def test_absent_mmcv_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not has_compiled_operators()
