"""Pictures of segmentations while validating and testing.

Not imported by ``densevlm_mm.engine``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from collections.abc import Sequence
from pathlib import Path

import mmcv
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample


@HOOKS.register_module()
class LegendSegVisualizationHook(Hook):
    """Draw segmented images by the runner's visualizer; ``tools/test.py --show-dir DIR`` switches it on.

    Unlike mmseg's ``SegVisualizationHook`` it draws every image of a test, not one in 50, those of every process, and a
    test does not load the training data (mmseg asks the training loop for the iteration).

    Args:
        draw: whether to draw at all.
        interval: draw the images of one batch in so many.
        show: show the pictures in a window too.
        wait_time: seconds that a shown picture stays.
        backend_args: arguments of mmengine's file backend, to read the images.
    """

    def __init__(
        self,
        draw: bool = False,
        interval: int = 1,
        show: bool = False,
        wait_time: float = 2,
        backend_args: dict | None = None,
    ) -> None:
        self.draw = draw
        self.interval = interval
        self.show = show
        self.wait_time = wait_time
        self.backend_args = backend_args

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the images of a validation batch; the iteration is part of the pictures' names."""
        if self.draw:
            self._draw(runner, "val", batch_idx, outputs, runner.iter)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the images of a test batch."""
        if self.draw:
            self._draw(runner, "test", batch_idx, outputs, 0)

    def _draw(
        self, runner: Runner, mode: str, batch_idx: int, outputs: Sequence[SegDataSample] | None, step: int
    ) -> None:
        if not self.every_n_inner_iters(batch_idx, self.interval):
            return
        for sample in outputs or ():
            image = mmcv.imread(sample.img_path, channel_order="rgb", backend_args=self.backend_args)
            runner.visualizer.add_datasample(
                f"{mode}_{Path(sample.img_path).name}",
                image,
                data_sample=sample,
                show=self.show,
                wait_time=self.wait_time,
                step=step,
            )
