"""Pictures of region predictions while testing."""

from collections.abc import Sequence
from typing import Any

import mmcv
import numpy as np
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from densevlm_mm.engine.hooks.picture_hook import PictureHook
from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample
from densevlm_mm.visualization import draw_region_predictions


@HOOKS.register_module()
class RegionVisualizationHook(PictureHook):
    """Draw the classified regions of tested images; ``tools/test.py --show-dir DIR`` switches it on.

    Args:
        max_images: Most pictures a process; ``None`` draws all.
        size: Longer side of a picture in pixels.
        **options: Those of :class:`PictureHook`: ``draw``, ``test_out_dir``, ``show``, ``wait_time``.
    """

    def __init__(self, max_images: int | None = None, size: int = 512, **options: Any) -> None:
        super().__init__(**options)
        self.max_images = max_images
        self.size = size
        self._num_drawn = 0

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[RegionDataSample] | None = None,
    ) -> None:
        """Draw the images of a batch, as long as there are not ``max_images``."""
        left = None if self.max_images is None else self.max_images - self._num_drawn
        drawn = list(outputs or ())[:left]
        super().after_test_iter(runner, batch_idx, data_batch, drawn)
        self._num_drawn += len(drawn)

    def draw_test_picture(
        self, runner: Runner, image: np.ndarray, sample: RegionDataSample, out_file: str, **options: Any
    ) -> None:
        """Draw the Top-1 class of every annotated region."""
        picture = draw_region_predictions(image, sample, runner.test_dataloader.dataset.metainfo["classes"], self.size)
        mmcv.imwrite(picture[..., ::-1], out_file)
        if self.show and is_main_process():
            runner.visualizer.show(picture, win_name=sample.img_path, wait_time=self.wait_time)
