import importlib.util
import sys
from pathlib import Path

import pytest

from densevlm_mm.compat.gradio_interfaces import write_no_interfaces


def test_a_subclass_of_a_component_leaves_no_file_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    component_meta = pytest.importorskip("gradio.component_meta")
    monkeypatch.setattr(component_meta, "create_or_modify_pyi", component_meta.create_or_modify_pyi)
    write_no_interfaces()
    source = tmp_path / "own.py"
    source.write_text("import gradio\n\n\nclass Own(gradio.Image):\n    pass\n")
    spec = importlib.util.spec_from_file_location("own", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own", module)
    spec.loader.exec_module(module)
    assert not list(tmp_path.glob("*.pyi"))
