"""Predictions in a pickle, written whole or not at all."""

from typing import Any

import mmengine
from mmengine.evaluator import DumpResults

from densevlm_mm.files import atomic_write
from densevlm_mm.registry import METRICS


@METRICS.register_module()
class WholeDumpResults(DumpResults):
    """mmengine's ``DumpResults`` whose file is the old one or the new one, whenever the process ends.

    ``out_file_path`` ends in ``.pkl`` or ``.pickle``. Whoever loads a pickle runs what is in it: do not take it
    from others.
    """

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        """Write the predictions; there are no figures."""
        with atomic_write(self.out_file_path) as partial:
            mmengine.dump(results, partial)
        return {}
