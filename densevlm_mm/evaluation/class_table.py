"""The per-class table of an evaluation, and the metrics that write one."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from densevlm_mm.tables import write_csv, write_json


class WritesClassTable:
    """A metric with a per-class table: ``tools/test.py --out FILE.csv`` (or ``.json``) sets its ``outfile_prefix``.

    Attributes:
        outfile_prefix: Path or URI without suffix; None writes nothing.
        evaluation: What the figures are of; :class:`~densevlm_mm.engine.hooks.EvaluationRecordHook` sets it.
        num_regions: How many regions the figures are over, where they are over regions.
    """

    outfile_prefix: str | None = None
    evaluation: Mapping[str, Any] | None = None
    num_regions: int | None = None

    def write_class_table(self, figures: Mapping[str, float], columns: Mapping[str, Sequence[Any]]) -> None:
        """Write ``<outfile_prefix>.csv`` and ``.json``, if there is a prefix; see :func:`write_class_table`."""
        if self.outfile_prefix is not None:
            counted = {} if self.num_regions is None else dict(num_regions=self.num_regions)
            evaluation = None if self.evaluation is None else {**self.evaluation, **counted}
            write_class_table(self.outfile_prefix, figures, columns, evaluation)
            print_log(f"per-class table written to {self.outfile_prefix}.csv and .json", "current")


def write_class_table(
    prefix: str,
    figures: Mapping[str, float],
    columns: Mapping[str, Sequence[Any]],
    evaluation: Mapping[str, Any] | None = None,
) -> None:
    """Write ``<prefix>.csv``, a row a class, and ``<prefix>.json``: ``metrics``, ``evaluation`` and ``classes``.

    Args:
        prefix: Path or URI without suffix.
        figures: Numbers by key.
        columns: Values by name, all of the same length; NaN becomes empty and null.
        evaluation: What the figures are of.
    """
    values = [np.asarray(column).tolist() for column in columns.values()]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]
    write_csv(f"{prefix}.csv", rows, list(columns))
    record = {} if evaluation is None else dict(evaluation=evaluation)
    write_json(f"{prefix}.json", dict(metrics=figures, **record, classes=rows))
