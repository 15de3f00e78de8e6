"""Predictions on the same images before and after training."""

from pathlib import Path

import cv2
import mmcv
import numpy as np


def stack_before_after(out: Path, before: Path, after: Path, per_row: int = 4) -> None:
    """Put the same images before and after training above each other.

    Args:
        out: PNG to write.
        before: Folder of drawn images.
        after: Folder with images of the same names.
        per_row: Images in a row.
    """
    names = sorted(path.name for path in before.glob("*.png"))
    rows = []
    for i in range(0, len(names), per_row):
        for title, folder in (("before", before), ("after", after)):
            tiles = [mmcv.imread(str(folder / name)) for name in names[i : i + per_row]]
            tiles += [np.full_like(tiles[0], 255)] * (per_row - len(tiles))
            strip = cv2.hconcat(
                [cv2.copyMakeBorder(tile, 0, 0, 4, 4, cv2.BORDER_CONSTANT, value=(255,) * 3) for tile in tiles]
            )
            header = np.full((44, strip.shape[1], 3), 255, np.uint8)
            text = f"{title} DenseVLM (blue: right, orange: wrong, the true class in brackets)"
            cv2.putText(header, text, (8, 31), cv2.FONT_HERSHEY_SIMPLEX, 0.9, (0, 0, 0), 2, cv2.LINE_AA)
            rows += [header, strip]
    cv2.imwrite(str(out), cv2.vconcat(rows))
