"""Which module imports which, read from the source; and what importing the package costs."""

import ast
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import densevlm_mm

ROOT = Path(densevlm_mm.__file__).parent
# Lower layers first; a module imports from its own layer and from those before it.
LAYERS = (
    (
        "assets",
        "files",
        "lazy_exports",
        "main_process",
        "optional_packages",
        "output_names",
        "progress",
        "project_files",
        "registry",
        "shareable",
        "structures",
        "tables",
        "vocabulary",
    ),
    ("checkpoint_files", "downloads"),
    ("compat",),
    ("models",),
    ("datasets", "visualization"),
    ("tiny_scenes",),
    ("engine", "evaluation"),
    ("detection", "segmentation"),  # lists of what a config's custom_imports registers
    ("apis",),
    ("inference",),
    ("analysis",),
    ("web",),
    ("cli",),
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(name: str) -> Iterator[str]:
    """The modules of ours that a module imports, also inside of functions."""
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            if node.module and node.module.split(".")[0] == "densevlm_mm":
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    yield inner if inner in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "densevlm_mm")


def part(module: str) -> str:
    return [*module.split("."), ""][1]


EDGES = {(name, other) for name in MODULES for other in imported(name)}


def test_every_part_has_its_layer():
    assert {part(name) for name in MODULES} - {""} == set(LAYER_OF)


def test_nothing_imports_upward():
    upward = [f"{a} -> {b}" for a, b in EDGES if part(a) and part(b) and LAYER_OF[part(b)] > LAYER_OF[part(a)]]
    assert not upward


def test_the_lowest_parts_import_next_to_nothing_else_of_ours():
    allowed = {"vocabulary": (), "files": (), "output_names": (), "structures": (), "checkpoint_files": ("files",)}
    for base, others in {**allowed, "compat": ("checkpoint_files",)}.items():
        foreign = [f"{a} -> {b}" for a, b in EDGES if part(a) == base and part(b) not in (base, "", *others)]
        assert not foreign


@pytest.mark.parametrize("depth", [2, 3], ids=["parts", "packages"])
def test_no_circle_between_packages(depth):
    graph = defaultdict(set)
    for a, b in EDGES:
        inner, outer = (".".join(name.split(".")[:depth]) for name in (a, b))
        # densevlm_mm/__init__.py alone may be reached from everywhere: its version is a fact of all files.
        if inner != outer and "densevlm_mm" not in (inner, outer) and not outer.startswith(f"{inner}."):
            graph[inner].add(outer)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def test_pretraining_imports_neither_mmdet_nor_mmseg_and_the_package_not_even_torch():
    code = """
import sys
import densevlm_mm
heavy = {"torch", "mmdet", "mmseg", "open_clip", "timm", "lvis", "cv2.data", "mmcv.ops"} & set(sys.modules)
assert not heavy, heavy
import densevlm_mm.checkpoint_files  # whose torch is the first
import densevlm_mm.datasets, densevlm_mm.engine, densevlm_mm.evaluation, densevlm_mm.models, densevlm_mm.apis
heavy = {"mmdet", "mmseg", "lvis"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_names_that_people_need_are_there_and_listed() -> None:
    assert len(densevlm_mm.__all__) == 10
    for name in densevlm_mm.__all__:
        assert getattr(densevlm_mm, name).__name__ == name
    assert set(densevlm_mm.__all__) == set(densevlm_mm._HOMES) <= set(dir(densevlm_mm))
    with pytest.raises(AttributeError, match="has no attribute 'DenseVLM'"):
        _ = densevlm_mm.DenseVLM


def test_help_of_the_tools_imports_no_torch() -> None:
    code = """
import runpy, sys
from pathlib import Path
for tool in sys.argv[1:]:
    sys.path[0] = str(Path(tool).parent)  # as for a script
    sys.argv = [tool, "--help"]
    try:
        runpy.run_path(tool, run_name="__main__")
    except SystemExit as end:
        assert not end.code, tool
    assert "torch" not in sys.modules, tool
"""
    tools = ROOT.parent / "tools"
    folders = ("", "analysis_tools", "dataset_converters", "model_converters")
    paths = [str(path) for folder in folders for path in sorted((tools / folder).glob("*.py"))]
    paths.remove(str(tools / "reproduce_tiny.py"))  # its parser names the experiments, whose plan needs the tiny CLIPs
    assert len(paths) > 15
    subprocess.run([sys.executable, "-c", code, *paths], check=True, stdout=subprocess.DEVNULL)
