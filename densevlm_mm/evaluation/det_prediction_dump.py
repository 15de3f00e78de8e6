"""Predictions of a detector in a pickle, written whole or not at all; see :mod:`densevlm_mm.detection`."""

from mmdet.evaluation.metrics import DumpDetResults
from mmdet.registry import METRICS

from densevlm_mm.evaluation.prediction_dump import WholeDumpResults


@METRICS.register_module()
class WholeDumpDetResults(WholeDumpResults, DumpDetResults):
    """mmdet's ``DumpDetResults`` (encoded masks), written as :class:`WholeDumpResults` does."""
