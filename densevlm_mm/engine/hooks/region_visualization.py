"""Pictures of region predictions while testing."""

from pathlib import Path

import mmcv
from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample
from densevlm_mm.visualization import draw_region_predictions


@HOOKS.register_module()
class RegionVisualizationHook(Hook):
    """Draw the classified regions of tested images; ``tools/test.py --show-dir DIR`` switches it on.

    Args:
        draw: Whether to draw at all.
        test_out_dir: Folder of the pictures, one PNG an image, named after the image.
        max_images: Most pictures a process; ``None`` draws all.
        size: Longer side of a picture in pixels.
        show: Whether to show pictures in a window too.
        wait_time: Seconds that a shown picture stays.
    """

    def __init__(
        self,
        draw: bool = False,
        test_out_dir: str | None = None,
        max_images: int | None = None,
        size: int = 512,
        show: bool = False,
        wait_time: float = 2,
    ) -> None:
        self.draw = draw
        self.test_out_dir = test_out_dir
        self.max_images = max_images
        self.size = size
        self.show = show
        self.wait_time = wait_time
        self._num_drawn = 0

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list[RegionDataSample] | None = None,
    ) -> None:
        """Draw the images of a batch."""
        if not self.draw:
            return
        for sample in outputs or ():
            if self.max_images is not None and self._num_drawn >= self.max_images:
                return
            image = mmcv.imread(sample.img_path, channel_order="rgb")
            picture = draw_region_predictions(
                image, sample, runner.test_dataloader.dataset.metainfo["classes"], self.size
            )
            if self.test_out_dir is not None:
                path = Path(self.test_out_dir) / f"{Path(sample.img_path).stem}.png"
                mmcv.imwrite(picture[..., ::-1], str(path))
            if self.show:
                runner.visualizer.show(picture, win_name=Path(sample.img_path).name, wait_time=self.wait_time)
            self._num_drawn += 1
