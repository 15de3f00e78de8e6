"""Reading a constant out of an installed package's source without importing the package.

``import mmdet.datasets`` takes seconds and needs the compatibility layer; the class lists in there are plain literals.
"""

import ast
import importlib.util
from pathlib import Path
from typing import Any


def read_source_literal(package: str, file: str, variable: str, key: str) -> Any:
    """Evaluate one entry of a literal dict (``{...}`` or ``dict(...)``) that a package's source file assigns.

    Only that entry is evaluated, so the rest of the dict may be anything.

    Args:
        package: Top-level package, e.g. ``'mmdet'``. It is located, not imported.
        file: Source file inside the package, e.g. ``'datasets/coco_panoptic.py'``.
        variable: ``'NAME'`` or ``'ClassName.NAME'``.
        key: Entry of the dict.

    Returns:
        The Python literal.

    Raises:
        FileNotFoundError: If the package or the file is not there.
        ValueError: If the file does not assign such a literal.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"package {package!r} is not installed; it is needed for its {variable}")
    path = Path(next(iter(spec.submodule_search_locations))) / file
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: this version of {package} keeps {variable} elsewhere")
    value = _find_assignment(ast.parse(path.read_text(encoding="utf-8")), variable.split("."))
    if value is not None:
        for entry_key, entry in _dict_entries(value):
            if entry_key == key:
                try:
                    return ast.literal_eval(entry)
                except ValueError as error:
                    raise ValueError(f"{variable}[{key!r}] in {path} is not a plain literal") from error
    raise ValueError(f"{path} assigns no literal {variable}[{key!r}]; this version of {package} is not supported")


def _find_assignment(scope: ast.Module | ast.ClassDef, names: list[str]) -> ast.expr | None:
    for node in scope.body:
        if len(names) > 1:
            if isinstance(node, ast.ClassDef) and node.name == names[0]:
                return _find_assignment(node, names[1:])
        elif isinstance(node, ast.Assign):
            if any(isinstance(target, ast.Name) and target.id == names[0] for target in node.targets):
                return node.value
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == names[0]:
            return node.value
    return None


def _dict_entries(value: ast.expr) -> list[tuple[Any, ast.expr]]:
    if isinstance(value, ast.Dict):
        return [(k.value, v) for k, v in zip(value.keys, value.values, strict=True) if isinstance(k, ast.Constant)]
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
        return [(keyword.arg, keyword.value) for keyword in value.keywords]
    return []
