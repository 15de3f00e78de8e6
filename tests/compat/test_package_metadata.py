from importlib.metadata import PackageNotFoundError
from pathlib import Path

import mmengine
import pytest

from densevlm_mm.compat.package_metadata import get_installed_path, is_installed, package2module


def test_modules_and_distributions_are_found() -> None:
    assert is_installed("mmengine")
    assert is_installed("opencv-python") or is_installed("opencv-python-headless")
    assert is_installed("json")  # a module of the standard library, no distribution
    assert not is_installed("no_such_package")


def test_path_of_a_module_and_of_a_distribution_with_another_name() -> None:
    assert get_installed_path("mmengine") == str(Path(mmengine.__file__).parent)
    assert package2module("mmsegmentation") == "mmseg"
    assert Path(get_installed_path("mmsegmentation")).name == "mmseg"


def test_missing_package_is_named() -> None:
    with pytest.raises(PackageNotFoundError, match="no_such_package"):
        get_installed_path("no_such_package")


def test_namespace_package_has_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_namespace").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeError, match="a_namespace"):
        get_installed_path("a_namespace")
    assert not is_installed("a_namespace")


def test_mmengine_uses_them_everywhere() -> None:
    import mmengine.config.config
    import mmengine.hub.hub
    import mmengine.utils

    for module in (mmengine.utils, mmengine.config.config, mmengine.hub.hub):
        assert module.get_installed_path is get_installed_path
    assert mmengine.utils.is_installed is is_installed
