"""Where in an image an encoder sees texts: `SimilarityMaps`."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from densevlm_mm.inference.prediction import save_picture
from densevlm_mm.visualization.heat import draw_heat_maps


@dataclass(frozen=True, eq=False)
class SimilarityMaps:
    """Cosines of every pixel with texts.

    Args:
        image: RGB (H, W, 3) uint8.
        path: Of its file, or what it is called.
        texts: T texts.
        maps: (T, H, W) float32, the cosines on the dense map's grid enlarged bilinearly.
    """

    image: np.ndarray
    path: str
    texts: tuple[str, ...]
    maps: np.ndarray

    def picture(self) -> np.ndarray:
        """The photo under a heat map for each text, beside each other: RGB uint8."""
        return draw_heat_maps(self.image, self.texts, self.maps)

    def save(self, path: str | Path) -> None:
        """Write the picture as ``.png`` or ``.jpg``.

        Raises:
            ValueError: If the path ends otherwise.
        """
        save_picture(self.picture(), path)
