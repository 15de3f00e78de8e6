"""Collate functions for data loaders, found by name through mmengine's ``FUNCTIONS`` registry."""

from collections.abc import Sequence
from typing import Any

from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS


@FUNCTIONS.register_module()
def skip_none_collate(data_batch: Sequence[Any]) -> Any:
    """Drop the samples that a dataset skipped (``None``), then collate like mmengine's ``pseudo_collate``.

    Goes with ``UnlabeledImageDataset(on_error='skip')``: ``collate_fn=dict(type='skip_none_collate')``. The batch is
    then smaller by the skipped samples; no other image takes their place.

    Args:
        data_batch: Samples of one batch, ``None`` for a skipped one.

    Returns:
        The collated batch.

    Raises:
        ValueError: Every sample of the batch was skipped.
    """
    kept = [sample for sample in data_batch if sample is not None]
    if not kept:
        raise ValueError(
            f"all {len(data_batch)} images of a batch were skipped as unreadable. The log names them: repair or remove "
            "those files, or check data_root and data_prefix."
        )
    return pseudo_collate(kept)
