"""What a checkpoint says about its encoder."""

from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.models.clip import CheckpointName, resolve_architecture
from densevlm_mm.models.clip.export import describe
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class EncoderMetadataHook(Hook):
    """Store the encoder's architecture and the origin of its weights in every checkpoint, as plain strings.

    The config text that mmengine stores is Python code, which reading a checkpoint must not run. This entry,
    ``checkpoint['encoder']``, is what :class:`DenseImageEncoder` and ``tools/export_encoder.py`` read instead:
    ``model_name``; ``model_cfg`` and ``preprocess_cfg`` (JSON, open_clip's); ``checkpoint``, the weights that training
    started from, as the config names them, without folders of this machine.
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the entry."""
        encoders = [module for module in runner.model.modules() if isinstance(module, DenseImageEncoder)]
        if not encoders or not encoders[0].model_cfg:
            return
        encoder = encoders[0]
        origin = CheckpointName.parse(encoder.checkpoint).portable() if encoder.checkpoint else ""
        checkpoint["encoder"] = {**describe(resolve_architecture(encoder.description)), "checkpoint": origin}
