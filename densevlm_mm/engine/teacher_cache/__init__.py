"""The exact cache of a frozen teacher's targets; docs/teacher_cache.md."""

from densevlm_mm.engine.teacher_cache.cache_key import flat_facts
from densevlm_mm.engine.teacher_cache.feature_records import FeatureRecords
from densevlm_mm.engine.teacher_cache.grid_pipeline import GridPipeline, grid_pipeline
from densevlm_mm.engine.teacher_cache.logit_records import LogitRecords
from densevlm_mm.engine.teacher_cache.loss_needs import retrieval_temperature
from densevlm_mm.engine.teacher_cache.options import CacheOptions
from densevlm_mm.engine.teacher_cache.record_store import RecordStore
from densevlm_mm.engine.teacher_cache.target_cache import TargetCache
from densevlm_mm.engine.teacher_cache.teacher_weights import facts_of_config, facts_of_module

__all__ = [
    "CacheOptions",
    "FeatureRecords",
    "GridPipeline",
    "LogitRecords",
    "RecordStore",
    "TargetCache",
    "facts_of_config",
    "facts_of_module",
    "flat_facts",
    "grid_pipeline",
    "retrieval_temperature",
]
