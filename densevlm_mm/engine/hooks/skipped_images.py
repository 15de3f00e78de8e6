"""List at the end of a training what it left out."""

from pathlib import Path
from typing import Any

from mmengine.dist import all_gather_object, master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.files import write_text
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class SkippedImagesHook(Hook):
    """Write the paths of the images that were skipped as unreadable to ``work_dir/skipped_images.txt``, and say so.

    For data sets with ``on_error='skip'``, see :class:`~densevlm_mm.datasets.UnlabeledImageDataset`; the images are
    those of all processes and epochs of this run. Does nothing for other data sets.
    """

    priority = "VERY_LOW"

    def after_train(self, runner: Runner) -> None:
        """Gather the paths of all processes and write them."""
        dataset: Any = runner.train_dataloader.dataset
        while hasattr(dataset, "dataset"):
            dataset = dataset.dataset
        if getattr(dataset, "on_error", None) != "skip":
            return
        own = [dataset.get_data_info(index)["img_path"] for index in dataset.skipped]
        self._report(runner, sorted({path for paths in all_gather_object(own) for path in paths}))

    @staticmethod
    @master_only
    def _report(runner: Runner, paths: list[str]) -> None:
        if not paths:
            return
        listing = Path(runner.work_dir) / "skipped_images.txt"
        write_text(listing, "".join(f"{path}\n" for path in paths))
        shown = ", ".join(paths[:3]) + (" ..." if len(paths) > 3 else "")
        runner.logger.warning(f"{len(paths)} images were skipped as unreadable, listed in {listing}: {shown}")
