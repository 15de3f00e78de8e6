"""Annotated regions of an image from a panoptic PNG, for the scores Boxes, Masks-T and Masks-S."""

from typing import NamedTuple

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch.nn import functional

from densevlm_mm.datasets.image_files import decode_image, read_file
from densevlm_mm.datasets.transforms.geometry import longest_side_shape
from densevlm_mm.registry import TRANSFORMS


class _Segments(NamedTuple):
    """Segments of one image; N rows each."""

    ids: np.ndarray  # (N,) int64, as in the PNG
    labels: np.ndarray  # (N,) int64
    is_thing: np.ndarray  # (N,) bool
    boxes_xyxy: np.ndarray  # (N, 4) float64, source pixels

    def select(self, rows: np.ndarray) -> "_Segments":
        return _Segments(*(field[rows] for field in self))


def decode_segment_ids(png_bgr: np.ndarray) -> np.ndarray:
    """Segment ids of a COCO panoptic PNG: ``R + 256 G + 256^2 B``.

    Args:
        png_bgr: (h, w, 3) uint8 with channels BGR.

    Returns:
        (h, w) int32.
    """
    rgba = cv2.cvtColor(png_bgr, cv2.COLOR_BGR2RGBA)
    return (rgba.view("<u4")[..., 0] & 0xFFFFFF).astype(np.int32)


def segment_extents(segment_ids: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Smallest boxes around segments.

    Args:
        segment_ids: (h, w) int32 as from :func:`decode_segment_ids`.
        ids: (N,) ids to look for.

    Returns:
        (N, 4) float64: x1, y1, x2, y2 in pixels, x2 and y2 exclusive; zeros for a segment without a pixel.
    """
    # One scan per segment beats a single pass through a table of all ids by a factor of ten.
    rects = [cv2.boundingRect((segment_ids == segment_id).view(np.uint8)) for segment_id in ids]
    x, y, width, height = np.array(rects, dtype=np.float64).reshape(-1, 4).T
    return np.stack([x, y, x + width, y + height], axis=1)


def _cubic_taps(length: int, new_length: int) -> tuple[np.ndarray, np.ndarray]:
    """Source pixels and weights of bicubic resizing along an axis (a = -0.75, half-pixel centres: as torch, OpenCV)."""
    centre = (np.arange(new_length) + 0.5) * length / new_length - 0.5
    first = np.floor(centre)
    distance = np.abs((centre - first)[:, None] - np.arange(-1, 3))
    a = -0.75
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = a * (((distance - 5) * distance + 8) * distance - 4)
    positions = np.clip(first[:, None] + np.arange(-1, 3), 0, length - 1).astype(np.int64)
    return positions, np.where(distance <= 1, near, far)


def masks_on_grid(segment_ids: np.ndarray, ids: np.ndarray, grid: int, antialias: bool = False) -> np.ndarray:
    """Masks of segments on a square feature grid: bicubic resize of the longest side, positive cells, at the top left.

    Args:
        segment_ids: (h, w) int32.
        ids: (N,) ids of the segments.
        grid: Cells along a side of the grid, G.
        antialias: Low-pass before down-scaling. Without it a mask smaller than a cell may vanish; with it masks grow by
            up to two cells.

    Returns:
        (N, G, G) bool.
    """
    height, width = segment_ids.shape
    new_h, new_w = longest_side_shape(height, width, grid)
    masks = np.zeros((len(ids), grid, grid), dtype=bool)
    if antialias:
        for index, segment_id in enumerate(ids):  # one at a time: a hundred float masks of a large image do not fit
            mask = torch.from_numpy(segment_ids == segment_id)[None, None].float()
            resized = functional.interpolate(mask, (new_h, new_w), mode="bicubic", antialias=True)
            masks[index, :new_h, :new_w] = resized[0, 0].numpy() > 0
        return masks
    # Bicubic resizing without antialiasing reads four pixels per cell and axis, whatever the size of the image.
    rows, weights_y = _cubic_taps(height, new_h)
    columns, weights_x = _cubic_taps(width, new_w)
    read = segment_ids[rows.ravel()[:, None], columns.ravel()[None]]
    member = (read[None] == ids[:, None, None]).reshape(len(ids), new_h, 4, new_w, 4)
    resized = np.einsum("nyaxb,ya,xb->nyx", member, weights_y, weights_x, optimize=True)
    masks[:, :new_h, :new_w] = resized > 1e-9  # weights of a full and of an empty patch cancel only up to rounding
    return masks


_POINTS = 8  # a side of a cell at which the segment map is read; 64 of them decide what a cell is


def segments_on_grid(
    segment_ids: np.ndarray, ids: np.ndarray, img_shape: tuple[int, int], grid: tuple[int, int], stride: int
) -> np.ndarray:
    """Segment that covers most of each cell of a feature grid.

    Counted at 8 x 8 points a cell. What is no segment (void, padding) counts like a segment; of equal counts the first
    wins.

    Args:
        segment_ids: (h, w) int32 in source pixels.
        ids: (N,) ids of the segments.
        img_shape: Height and width of the image area, at the top left of the canvas.
        grid: Rows and columns of the grid.
        stride: Pixels of the canvas that a cell has a side.

    Returns:
        Places in ``ids``, int64 of the shape ``grid``; -1 for cells that are mostly no segment.
    """
    order = np.argsort(ids)
    inside, sources = [], []
    for cells, area, length in zip(grid, img_shape, segment_ids.shape, strict=True):
        points = (np.arange(cells * _POINTS) + 0.5) * stride / _POINTS
        inside.append(points < area)
        sources.append(np.minimum((points * length / area).astype(np.int64), length - 1))
    read = segment_ids[sources[0][:, None], sources[1][None]]
    place = np.searchsorted(ids[order], read).clip(max=max(len(ids) - 1, 0))
    # The last of N + 1 columns is what is no segment.
    found = np.full(read.shape, len(ids), dtype=np.int64)
    if len(ids):
        known = (ids[order][place] == read) & inside[0][:, None] & inside[1][None]
        found[known] = order[place[known]]
    cell = np.arange(grid[0] * grid[1]).reshape(grid).repeat(_POINTS, axis=0).repeat(_POINTS, axis=1)
    columns = len(ids) + 1
    counts = np.bincount((cell * columns + found).ravel(), minlength=grid[0] * grid[1] * columns)
    best = counts.reshape(*grid, columns).argmax(axis=-1)
    return np.where(best == len(ids), -1, best)


@TRANSFORMS.register_module()
class LoadPanopticRegions(BaseTransform):
    """Add the annotated regions that region classification is scored on.

    A thing's box is the annotated one; that of stuff, and of a thing without one, is the extent of its mask. Regions
    whose box covers fewer than ``min_area`` or more than ``max_area`` source pixels are left out, as are crowds, and
    what comes after the first ``max_regions`` in the order of the annotations. A mask that vanishes on the feature
    grid is kept without a cell: its feature is zero and it counts as wrong.

    Adds ``gt_regions``: ``labels`` (N,) int64, ``is_thing`` (N,) bool, ``boxes_norm_xyxy`` (N, 4) float32 as
    fractions of the padded canvas, ``masks`` (N, S // feature_stride, S // feature_stride) bool. Adds ``segment_map``
    (S // feature_stride, S // feature_stride) int64, the number of the segment that covers most of each cell, of all
    segments whatever their size; -1 for what is annotated as nothing, for crowds that are left out, and for the padding
    (see :func:`segments_on_grid`).

    Args:
        feature_stride: Pixels between cells of the encoder's feature grid (16 for ViT-B/16).
        min_area: Smallest box kept, in source pixels.
        max_area: Largest box kept, in source pixels.
        max_regions: Most regions of an image.
        antialias: See :func:`masks_on_grid`. The published numbers' setting is not documented; ``False`` is what
            "bicubic" means in torch and OpenCV.
        backend_args: Arguments of mmengine's file backend for the PNG.

    Raises:
        KeyError: The image has not been resized and padded yet.
        ValueError: The PNG is not as large as the image, or has no pixel of an annotated segment.
    """

    mask_interpolation = "bicubic"

    def __init__(
        self,
        feature_stride: int,
        min_area: float = 8**2,
        max_area: float = 1024**2,
        max_regions: int = 100,
        antialias: bool = False,
        backend_args: dict | None = None,
    ) -> None:
        if feature_stride < 1:
            raise ValueError(f"feature_stride must be at least 1 pixel, not {feature_stride}")
        self.feature_stride = feature_stride
        self.min_area = min_area
        self.max_area = max_area
        self.max_regions = max_regions
        self.antialias = antialias
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Add the regions.

        Args:
            results: Must hold ``seg_map_path``, ``segments_info`` (dicts with ``id``, ``label``, ``is_thing``,
                ``bbox_xyxy``, ``iscrowd``), ``ori_shape``, ``img_shape`` and ``pad_shape``.

        Returns:
            ``results`` with ``gt_regions`` and ``segment_map``.
        """
        if "pad_shape" not in results:
            raise KeyError("LoadPanopticRegions needs 'pad_shape': put ResizeLongestSide and PadToSquare before it")
        segment_ids = self._read_segment_ids(results)
        all_segments = self._collect(results, segment_ids)
        segments = self._filter(all_segments)
        (img_h, img_w), (pad_h, pad_w), (ori_h, ori_w) = (
            results[key] for key in ("img_shape", "pad_shape", "ori_shape")
        )
        scale = np.array([img_w / ori_w / pad_w, img_h / ori_h / pad_h] * 2)
        results["gt_regions"] = dict(
            labels=segments.labels,
            is_thing=segments.is_thing,
            boxes_norm_xyxy=(segments.boxes_xyxy * scale).astype(np.float32),
            masks=masks_on_grid(segment_ids, segments.ids, pad_h // self.feature_stride, self.antialias),
        )
        grid = (pad_h // self.feature_stride, pad_w // self.feature_stride)
        results["segment_map"] = segments_on_grid(
            segment_ids, all_segments.ids, (img_h, img_w), grid, self.feature_stride
        )
        return results

    def _read_segment_ids(self, results: dict) -> np.ndarray:
        path = results["seg_map_path"]
        png = decode_image(read_file(path, self.backend_args), path, "stored")
        if png.shape[:2] != tuple(results["ori_shape"]):
            raise ValueError(
                f"{path} is (h, w) = {png.shape[:2]} but its image {results['img_path']} is "
                f"{tuple(results['ori_shape'])}: the panoptic PNGs belong to other images"
            )
        return decode_segment_ids(png)

    def _collect(self, results: dict, segment_ids: np.ndarray) -> _Segments:
        infos = [info for info in results["segments_info"] if not info["iscrowd"]]
        segments = _Segments(
            ids=np.array([info["id"] for info in infos], dtype=np.int64),
            labels=np.array([info["label"] for info in infos], dtype=np.int64),
            is_thing=np.array([info["is_thing"] for info in infos], dtype=bool),
            boxes_xyxy=np.array([info["bbox_xyxy"] or (np.nan,) * 4 for info in infos], dtype=np.float64).reshape(
                -1, 4
            ),
        )
        extents = segment_extents(segment_ids, segments.ids)
        absent = ~extents.any(axis=1)
        if absent.any():
            raise ValueError(
                f"{results['seg_map_path']} has no pixel of {int(absent.sum())} of the {len(infos)} annotated "
                f"segments, such as {segments.ids[absent][:3].tolist()}: is it a panoptic PNG (id = R + 256 G + 65536 "
                "B) and does it belong to the annotation file?"
            )
        annotated = segments.is_thing & ~np.isnan(segments.boxes_xyxy).any(axis=1)
        return segments._replace(boxes_xyxy=np.where(annotated[:, None], segments.boxes_xyxy, extents))

    def _filter(self, segments: _Segments) -> _Segments:
        width_height = segments.boxes_xyxy[:, 2:] - segments.boxes_xyxy[:, :2]
        area = width_height.prod(axis=1)
        return segments.select(np.flatnonzero((area >= self.min_area) & (area <= self.max_area))[: self.max_regions])
