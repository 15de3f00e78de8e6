import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from densevlm_mm.compat.import_hooks import when_imported


def mark(module: ModuleType) -> None:
    vars(module)["marks"] = vars(module).get("marks", 0) + 1


def test_a_module_is_changed_when_it_is_imported_or_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "hooked_by_test.py").write_text("value = 3")
    when_imported("hooked_by_test", mark)
    finders = list(sys.meta_path)
    when_imported("hooked_by_test", mark)
    assert sys.meta_path == finders
    assert "hooked_by_test" not in sys.modules
    module = importlib.import_module("hooked_by_test")
    try:
        assert (module.value, module.marks) == (3, 1)
        when_imported("hooked_by_test", mark)
        assert module.marks == 2
    finally:
        del sys.modules["hooked_by_test"]


def test_a_module_that_does_not_exist_still_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    when_imported("no_such_module_of_tests", mark)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("no_such_module_of_tests")
