"""Single images, brought onto the canvas that a config's encoder is evaluated on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.dataset import Compose
from torch import Tensor


@dataclass(frozen=True)
class CanvasImage:
    """An image as the encoder gets it.

    Args:
        path: Where it came from.
        inputs: Canvas (3, S, S) uint8 BGR; the image area is at the top left.
        area: Height and width of the image area in pixels of the canvas.
    """

    path: str
    inputs: Tensor
    area: tuple[int, int]

    @property
    def side(self) -> int:
        """S."""
        return self.inputs.shape[-1]

    @property
    def rgb(self) -> np.ndarray:
        """The image area, (height, width, 3) uint8 RGB."""
        height, width = self.area
        return self.inputs[:, :height, :width].numpy()[::-1].transpose(1, 2, 0)


def load_canvas_image(path: str, cfg: Config) -> CanvasImage:
    """Load an image with the transforms of the config's test data, those of annotations left out.

    Args:
        path: Image file.
        cfg: Experiment with a ``test_dataloader`` of annotated regions.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a complete image.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no image {path}")
    pipeline = [
        transform
        for transform in cfg.test_dataloader.dataset.pipeline
        if transform["type"].split(".")[-1] != "LoadPanopticRegions"
    ]
    packed = Compose(pipeline)(dict(img_path=path, img_id=path, sample_idx=0))
    height, width = packed["data_samples"].img_shape
    return CanvasImage(path, packed["inputs"], (height, width))
