"""Pipeline transforms: image to canvas, grid regions, given regions, annotated regions, packing."""

from densevlm_mm.compat.thin_images import take_thin_images
from densevlm_mm.datasets.image_files import UnreadableImageError
from densevlm_mm.datasets.transforms.formatting import PackRegionInputs
from densevlm_mm.datasets.transforms.geometry import PadToSquare, ResizeLongestSide
from densevlm_mm.datasets.transforms.grid_regions import GridRegions, cell_boxes, cell_table, grid_pairs, num_cells
from densevlm_mm.datasets.transforms.loading import LoadImage
from densevlm_mm.datasets.transforms.panoptic import LoadPanopticRegions
from densevlm_mm.datasets.transforms.proposal_regions import ProposalRegions

__all__ = [
    "GridRegions",
    "LoadImage",
    "LoadPanopticRegions",
    "PackRegionInputs",
    "PadToSquare",
    "ProposalRegions",
    "ResizeLongestSide",
    "UnreadableImageError",
    "cell_boxes",
    "cell_table",
    "grid_pairs",
    "num_cells",
]

take_thin_images()  # here, since whoever transforms images imports this
