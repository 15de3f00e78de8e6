"""Hooks: teachers, labels and captions, a check of all; the weight ensemble, checkpoints, seeds, throughput."""

from densevlm_mm.engine.hooks.atomic_checkpoint import AtomicCheckpointHook
from densevlm_mm.engine.hooks.cached_region_teacher import CachedRegionTeacherHook
from densevlm_mm.engine.hooks.captions import CaptionHook
from densevlm_mm.engine.hooks.class_agreement import ClassAgreementHook
from densevlm_mm.engine.hooks.compile import CompileHook
from densevlm_mm.engine.hooks.correlation_teacher import CorrelationTeacherHook
from densevlm_mm.engine.hooks.crop_teacher import CropTeacherHook
from densevlm_mm.engine.hooks.deferred_log import DeferredLogHook
from densevlm_mm.engine.hooks.encoder_metadata import EncoderMetadataHook
from densevlm_mm.engine.hooks.evaluation_record import EvaluationRecordHook
from densevlm_mm.engine.hooks.image_teacher import ImageTeacherHook
from densevlm_mm.engine.hooks.iteration_seed import IterationSeedHook
from densevlm_mm.engine.hooks.normalization_check import NormalizationCheckHook
from densevlm_mm.engine.hooks.output_names import OutputNameHook
from densevlm_mm.engine.hooks.prepare_classes import PrepareClassesHook
from densevlm_mm.engine.hooks.region_labels import RegionLabelHook
from densevlm_mm.engine.hooks.region_retrieval import RegionRetrievalHook
from densevlm_mm.engine.hooks.region_teacher import RegionTeacherHook
from densevlm_mm.engine.hooks.region_visualization import RegionVisualizationHook
from densevlm_mm.engine.hooks.retention import RetentionHook
from densevlm_mm.engine.hooks.skipped_images import SkippedImagesHook
from densevlm_mm.engine.hooks.strict_checkpoint import StrictCheckpointHook
from densevlm_mm.engine.hooks.target import TargetHook
from densevlm_mm.engine.hooks.target_check import TargetCheckHook
from densevlm_mm.engine.hooks.teacher import TeacherHook
from densevlm_mm.engine.hooks.throughput import ThroughputHook
from densevlm_mm.engine.hooks.weight_ensemble import WeightEnsembleHook

__all__ = [
    "AtomicCheckpointHook",
    "CachedRegionTeacherHook",
    "CaptionHook",
    "ClassAgreementHook",
    "CompileHook",
    "CorrelationTeacherHook",
    "CropTeacherHook",
    "DeferredLogHook",
    "EncoderMetadataHook",
    "EvaluationRecordHook",
    "ImageTeacherHook",
    "IterationSeedHook",
    "NormalizationCheckHook",
    "OutputNameHook",
    "PrepareClassesHook",
    "RegionLabelHook",
    "RegionRetrievalHook",
    "RegionTeacherHook",
    "RegionVisualizationHook",
    "RetentionHook",
    "SkippedImagesHook",
    "StrictCheckpointHook",
    "TargetCheckHook",
    "TargetHook",
    "TeacherHook",
    "ThroughputHook",
    "WeightEnsembleHook",
]
