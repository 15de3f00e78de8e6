"""Machine-readable results, CSV and JSON: whole files, where what is not a number is nothing, and no secret is told."""

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine import fileio

from densevlm_mm.files import write_text
from densevlm_mm.shareable import shareable


def write_json(path: str | Path, content: Any) -> None:
    """Write JSON, innermost lists on one line; NaN and infinities, which JSON does not have, become null.

    Args:
        path: File or URI; a folder that is missing is made.
        content: Dicts, lists, plain values, numpy's and torch's numbers and arrays.
    """
    text = json_text(content, indent=2)
    # Line breaks never lie inside a string of JSON, so this changes nothing but the layout.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)
    _write(path, text + "\n")


def json_text(content: Any, indent: int | None = None) -> str:
    """JSON in UTF-8, or in ASCII if it holds paths with bytes that are no UTF-8; see :func:`write_json`."""
    text = json.dumps(plain(content), indent=indent, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(plain(content), indent=indent, allow_nan=False)
    return text


def write_csv(path: str | Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Write a table; None, NaN and infinities become empty cells.

    Args:
        path: File or URI; a folder that is missing is made.
        rows: Dicts with the columns.
        columns: Their order; also the header of a table without rows.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain(list(rows)))
    _write(path, text.getvalue())


def plain(value: Any) -> Any:
    """Plain Python values of dicts, lists, numpy's and torch's; None for numbers that are not finite.

    Texts are made fit for others to read, see :func:`~densevlm_mm.shareable.shareable`.
    """
    if isinstance(value, str):
        return shareable(value)
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy and torch
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(path: str | Path, text: str) -> None:
    if "://" in str(path):
        fileio.put_text(text, str(path))
    else:
        write_text(path, text)
