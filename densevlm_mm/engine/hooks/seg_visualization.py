"""Pictures of segmentations while validating and testing.

Not imported by ``densevlm_mm.engine``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.runner import Runner
from mmseg.registry import HOOKS
from mmseg.structures import SegDataSample

from densevlm_mm.engine.hooks.picture_hook import PictureHook, read_drawn_image
from densevlm_mm.output_names import flat_name


@HOOKS.register_module()
class LegendSegVisualizationHook(PictureHook):
    """Draw segmented images by the runner's visualizer; ``tools/test.py --show-dir DIR`` switches it on.

    Unlike mmseg's ``SegVisualizationHook`` it draws every image of a test, not one in 50, those of every process, and a
    test does not load the training data (mmseg asks the training loop for the iteration). Pictures of a validation go
    to the visualizer's backends.

    Args:
        interval: Draw the images of one batch in so many.
        **options: Those of :class:`PictureHook`.
    """

    def __init__(self, interval: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.interval = interval

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the images of a validation batch; the iteration is part of the pictures' names."""
        if not self.draw or not self.every_n_inner_iters(batch_idx, self.interval):
            return
        for sample in outputs or ():
            name = flat_name(sample.get("output_name", None) or Path(sample.img_path).name)
            runner.visualizer.add_datasample(
                f"val_{name}",
                read_drawn_image(sample, runner.val_dataloader.dataset),
                data_sample=sample,
                show=self.show,
                wait_time=self.wait_time,
                step=runner.iter,
            )

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[SegDataSample] | None = None,
    ) -> None:
        """Draw the images of a test batch."""
        if self.every_n_inner_iters(batch_idx, self.interval):
            super().after_test_iter(runner, batch_idx, data_batch, outputs)
