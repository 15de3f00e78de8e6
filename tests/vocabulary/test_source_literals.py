import sys
from pathlib import Path

import pytest

from densevlm_mm.vocabulary.source_literals import read_source_literal


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    root = tmp_path / "literal_pkg"
    root.mkdir()
    (root / "__init__.py").write_text("raise RuntimeError('must not be imported')\n")
    (root / "data.py").write_text(
        "import nowhere\n"
        "class A:\n    INFO = dict(classes=('x', 'y'), other=nowhere.f())\n"
        "class B:\n    INFO: dict = {'classes': ('z',), **nowhere.more}\n"
        "TABLE = {'k': [1, 2]}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "literal_pkg"


def test_reads_dict_calls_dict_displays_and_module_variables(package: str) -> None:
    assert read_source_literal(package, "data.py", "A.INFO", "classes") == ("x", "y")
    assert read_source_literal(package, "data.py", "B.INFO", "classes") == ("z",)
    assert read_source_literal(package, "data.py", "TABLE", "k") == [1, 2]
    assert package not in sys.modules


def test_what_is_missing_is_named(package: str) -> None:
    with pytest.raises(FileNotFoundError, match="no_such_package"):
        read_source_literal("no_such_package", "data.py", "A.INFO", "classes")
    with pytest.raises(FileNotFoundError, match=r"gone\.py"):
        read_source_literal(package, "gone.py", "A.INFO", "classes")
    with pytest.raises(ValueError, match=r"C\.INFO\['classes'\]"):
        read_source_literal(package, "data.py", "C.INFO", "classes")
    with pytest.raises(ValueError, match="palette"):
        read_source_literal(package, "data.py", "A.INFO", "palette")
    with pytest.raises(ValueError, match="not a plain literal"):
        read_source_literal(package, "data.py", "A.INFO", "other")
