"""Label maps of segmentations as PNG files."""

from pathlib import Path

import numpy as np
from PIL import Image

from densevlm_mm.files import atomic_write


def write_label_map(path: Path, labels: np.ndarray, num_labels: int) -> None:
    """Write a PNG of labels, 16 bits deep for more than 256 of them, whole or not at all.

    Args:
        path: The file.
        labels: (H, W) whole numbers, 0 to ``num_labels`` - 1.
        num_labels: How many labels there could be; all maps of a vocabulary have the same depth.
    """
    with atomic_write(path) as partial:
        Image.fromarray(labels.astype(np.uint8 if num_labels <= 256 else np.uint16)).save(partial)
