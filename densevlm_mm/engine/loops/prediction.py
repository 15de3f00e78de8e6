"""A test loop over a user's images."""

from typing import Any

from mmengine.runner import TestLoop

from densevlm_mm.datasets.prediction_images import UnreadableImage
from densevlm_mm.registry import LOOPS


@LOOPS.register_module()
class PredictionLoop(TestLoop):
    """mmengine's test loop, which takes unreadable images down and goes on.

    The evaluator is given ``img_path`` and ``unreadable`` (the reason) of such an image; the model does not see it.
    """

    def run_iter(self, idx: int, data_batch: Any) -> None:
        """Predict on a batch of one image."""
        if not isinstance(data_batch, UnreadableImage):
            super().run_iter(idx, data_batch)
            return
        failed = [
            dict(img_path=path, unreadable=reason)
            for path, reason in zip(data_batch.img_path, data_batch.reason, strict=True)
        ]
        self.evaluator.process(data_samples=failed, data_batch=None)
