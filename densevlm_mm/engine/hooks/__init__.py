"""Hooks: the teacher, labels in its place, the weight ensemble, strict checkpoints, seeds, throughput."""

from densevlm_mm.engine.hooks.atomic_checkpoint import AtomicCheckpointHook
from densevlm_mm.engine.hooks.crop_teacher import CropTeacherHook
from densevlm_mm.engine.hooks.encoder_metadata import EncoderMetadataHook
from densevlm_mm.engine.hooks.iteration_seed import IterationSeedHook
from densevlm_mm.engine.hooks.region_labels import RegionLabelHook
from densevlm_mm.engine.hooks.region_retrieval import RegionRetrievalHook
from densevlm_mm.engine.hooks.region_teacher import RegionTeacherHook
from densevlm_mm.engine.hooks.region_visualization import RegionVisualizationHook
from densevlm_mm.engine.hooks.strict_checkpoint import StrictCheckpointHook
from densevlm_mm.engine.hooks.throughput import ThroughputHook
from densevlm_mm.engine.hooks.weight_ensemble import WeightEnsembleHook

__all__ = [
    "AtomicCheckpointHook",
    "CropTeacherHook",
    "EncoderMetadataHook",
    "IterationSeedHook",
    "RegionLabelHook",
    "RegionRetrievalHook",
    "RegionTeacherHook",
    "RegionVisualizationHook",
    "StrictCheckpointHook",
    "ThroughputHook",
    "WeightEnsembleHook",
]
