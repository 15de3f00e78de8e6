"""Data sets, samplers and transforms."""

from densevlm_mm.datasets import transforms
from densevlm_mm.datasets.collate import skip_none_collate
from densevlm_mm.datasets.panoptic_regions import PanopticRegionDataset
from densevlm_mm.datasets.region_proposals import RegionProposalDataset
from densevlm_mm.datasets.samplers import ResumableSampler, SampleIndex, ShardSampler
from densevlm_mm.datasets.seeded import SeededDataset
from densevlm_mm.datasets.sharded_images import ShardedImages
from densevlm_mm.datasets.unlabeled_images import UnlabeledImageDataset
from densevlm_mm.structures import RegionDataSample

__all__ = [
    "PanopticRegionDataset",
    "RegionDataSample",
    "RegionProposalDataset",
    "ResumableSampler",
    "SampleIndex",
    "SeededDataset",
    "ShardSampler",
    "ShardedImages",
    "UnlabeledImageDataset",
    "skip_none_collate",
    "transforms",
]
