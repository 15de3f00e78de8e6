"""Teacher features of the regions of one grid as a record."""

import numpy as np
import torch
from torch import Tensor

# R regions, D channels.


class FeatureRecords:
    """Encode features (R, D) of regions, and decode them.

    Args:
        dtype: Of a record, ``'float32'`` or ``'float16'``.
    """

    def __init__(self, dtype: str) -> None:
        self.dtype = np.dtype(dtype).newbyteorder("<")

    def encode(self, features_RD: Tensor) -> bytes:
        """Make a record of float32 features."""
        return features_RD.numpy().astype(self.dtype).tobytes()

    def decode(self, record: bytes, cell_ids: Tensor) -> Tensor:
        """Read the float32 features of all regions, which have these cell ids."""
        features = np.frombuffer(record, self.dtype).reshape(len(cell_ids), -1)
        return torch.from_numpy(features.astype(np.float32))

    def difference(self, record: bytes, other: bytes) -> float:
        """Largest difference of a feature's component."""
        ours, theirs = (np.frombuffer(content, self.dtype).astype(np.float32) for content in (record, other))
        return float(np.abs(ours - theirs).max()) if len(ours) == len(theirs) else float("inf")
