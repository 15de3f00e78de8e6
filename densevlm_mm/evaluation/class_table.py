"""Writing a per-class table with the figures of an evaluation."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine import fileio


def write_class_table(prefix: str, figures: Mapping[str, float], columns: Mapping[str, Sequence[Any]]) -> None:
    """Write ``<prefix>.csv``, a row a class, and ``<prefix>.json``, which has the figures too.

    Args:
        prefix: path or URI without suffix.
        figures: numbers by key.
        columns: values by name, all of the same length; NaN becomes empty and null.
    """
    values = {key: [_plain(value) for value in np.asarray(column).tolist()] for key, column in columns.items()}
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(values), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    fileio.put_text(text.getvalue(), f"{prefix}.csv")
    plain_figures = {key: _plain(value) for key, value in figures.items()}
    fileio.dump(dict(metrics=plain_figures, classes=rows), f"{prefix}.json", indent=2)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value  # JSON has no NaN
