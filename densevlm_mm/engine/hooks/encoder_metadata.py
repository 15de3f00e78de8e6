"""What a checkpoint says about its encoder."""

import json

from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class EncoderMetadataHook(Hook):
    """Store the encoder's architecture and the origin of its weights in every checkpoint, as plain strings.

    The config text that mmengine stores is Python code, which reading a checkpoint must not run;
    ``tools/export_encoder.py`` reads this entry, ``checkpoint['encoder']``, instead: ``model_name``, ``model_cfg``
    (JSON) and ``checkpoint`` (path).
    """

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Add the entry."""
        encoders = [module for module in runner.model.modules() if isinstance(module, DenseImageEncoder)]
        if encoders:
            encoder = encoders[0]
            checkpoint["encoder"] = dict(
                model_name=encoder.model_name,
                model_cfg=json.dumps(encoder.model_cfg),
                checkpoint=str(encoder.checkpoint or ""),
            )
