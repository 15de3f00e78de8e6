"""What the hooks that draw tested images have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.compat.visualizer_processes import drawing_in_this_process
from densevlm_mm.datasets.transforms import LoadImage
from densevlm_mm.engine.pipeline_steps import pipeline_steps
from densevlm_mm.files import atomic_write
from densevlm_mm.output_names import OutputFolder


class PictureHook(Hook):
    """Write one picture for every tested image, in the process that tested it, whole or not at all.

    Pictures are called after the image's place in the data set, see :func:`densevlm_mm.output_names.output_names`.
    They go to ``test_out_dir``, or to ``<work dir>/<time>/pictures`` without one. Subclasses say how to draw, in
    :meth:`draw_test_picture`.

    Args:
        draw: Whether to draw at all.
        test_out_dir: Folder of the pictures, relative to the current one.
        show: Whether to show pictures in a window too.
        wait_time: Seconds that a shown picture stays.
        backend_args: Unused: images are read as the data set reads them. mmdet's and mmseg's hooks have it.
    """

    _folder: OutputFolder | None = None

    def __init__(
        self,
        draw: bool = False,
        test_out_dir: str | None = None,
        show: bool = False,
        wait_time: float = 2,
        backend_args: dict | None = None,
    ) -> None:
        self.draw = draw
        self.test_out_dir = test_out_dir
        self.show = show
        self.wait_time = wait_time
        self.backend_args = backend_args

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw the images of a test batch."""
        if not self.draw:
            return
        if self._folder is None:
            self._folder = OutputFolder(self.test_out_dir or Path(runner.log_dir) / "pictures")
        for sample in outputs or ():
            image = read_drawn_image(sample, runner.test_dataloader.dataset)
            with (
                atomic_write(self._folder.path(sample, self.picture_suffix(sample))) as partial,
                drawing_in_this_process(),
            ):
                self.draw_test_picture(runner, image, sample, str(partial))

    def picture_suffix(self, sample: Any) -> str:
        """Format of an image's picture."""
        return ".png"

    def draw_test_picture(self, runner: Runner, image: np.ndarray, sample: Any, out_file: str, **options: Any) -> None:
        """Draw the predictions of an image; here with the runner's visualizer, one of mmdet's or mmseg's kind.

        Args:
            runner: The runner.
            image: RGB (H, W, 3) uint8, as the model saw it before its resize.
            sample: The data sample with predictions.
            out_file: Where to write the picture.
            **options: More arguments of the visualizer's ``add_datasample``.
        """
        if runner.visualizer.dataset_meta is None:  # was set in the main process alone
            runner.visualizer.dataset_meta = runner.test_dataloader.dataset.metainfo
        runner.visualizer.add_datasample(
            Path(sample.img_path).name,
            image,
            data_sample=sample,
            show=self.show and is_main_process(),
            wait_time=self.wait_time,
            out_file=out_file,
            **options,
        )


def read_drawn_image(sample: Any, dataset: Any) -> np.ndarray:
    """Read the image that predictions are of: RGB (H, W, 3) uint8, in the frame that the model saw.

    Args:
        sample: Data sample with ``img_path`` and ``ori_shape``.
        dataset: Where it comes from; its own loader reads the image again.

    Raises:
        ValueError: If the file has another size than the image that the model saw.
    """
    loaders = (step for step in pipeline_steps(dataset) if isinstance(step, LoadImageFromFile))
    loader = next(loaders, None) or LoadImage()
    shape = tuple(sample.get("ori_shape", ())[:2])
    # As an image without annotation at first: one whose frames have the same size is loaded no other way.
    image = loader.transform(dict(img_path=sample.img_path))["img"]
    if shape and image.shape[:2] != shape:
        image = loader.transform(dict(img_path=sample.img_path, height=shape[0], width=shape[1]))["img"]
    if shape and image.shape[:2] != shape:
        raise ValueError(
            f"{sample.img_path} is {image.shape[:2]} (height, width), but was {shape} when the model saw it: has the "
            "file been changed meanwhile?"
        )
    return image[..., ::-1].astype(np.uint8)
