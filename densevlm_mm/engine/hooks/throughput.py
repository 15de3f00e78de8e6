"""Images a second in the training log."""

from mmengine.dist import get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class ThroughputHook(Hook):
    """Log ``images_per_second``: images of all processes by the time of an iteration, data loading included."""

    priority = "NORMAL"  # after IterTimerHook, which is registered first, and before LoggerHook

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Divide the batch size by the time that IterTimerHook has just measured."""
        if data_batch is None:
            return
        num_images = len(data_batch["inputs"]) * get_world_size()
        seconds = runner.message_hub.get_scalar("train/time").current()
        runner.message_hub.update_scalar("train/images_per_second", num_images / max(seconds, 1e-9))
