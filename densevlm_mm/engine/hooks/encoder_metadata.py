"""What a checkpoint says about its encoder."""

from collections.abc import Mapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from densevlm_mm.models.clip import CheckpointName, resolve_architecture
from densevlm_mm.models.clip.encoder_parts import describe_path, read_path
from densevlm_mm.models.clip.export import describe
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.encoders.dense_path import DensePath
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class EncoderMetadataHook(Hook):
    """Store the encoder's architecture and the origin of its weights in every checkpoint, as plain strings.

    The config text that mmengine stores is Python code, which reading a checkpoint must not run. This entry,
    ``checkpoint['encoder']``, is what :class:`DenseImageEncoder` and ``tools/export_encoder.py`` read instead:
    ``model_name``; ``model_cfg`` and ``preprocess_cfg`` (JSON, open_clip's); ``dense_path`` (JSON, as the encoder takes
    it); ``checkpoint``, the weights that training started from, as the config names them, without folders of this
    machine.
    """

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Compare the dense path of the weights with the model's: their tensors would fit another one too.

        Raises:
            ValueError: If they differ.
        """
        encoder = _encoder(runner)
        stored = checkpoint.get("encoder")
        recorded = read_path(stored) if isinstance(stored, Mapping) else None
        if encoder is not None and recorded is not None:
            DensePath.resolve(encoder.dense_path, recorded, str(runner._load_from))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Add the entry."""
        encoder = _encoder(runner)
        if encoder is None or not encoder.model_cfg:
            return
        origin = CheckpointName.parse(encoder.checkpoint).portable() if encoder.checkpoint else ""
        checkpoint["encoder"] = {
            **describe(resolve_architecture(encoder.description)),
            **describe_path(encoder.dense_path),
            "checkpoint": origin,
        }


def _encoder(runner: Runner) -> DenseImageEncoder | None:
    return next((module for module in runner.model.modules() if isinstance(module, DenseImageEncoder)), None)
