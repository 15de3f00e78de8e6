"""Where in an image an encoder sees a text: cosines of its dense map with text embeddings."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator
from torch import Tensor
from torch.nn import functional

from densevlm_mm.analysis.images import CanvasImage
from densevlm_mm.analysis.models import AnalysisModel
from densevlm_mm.analysis.style import axes_in_inches, picture
from densevlm_mm.visualization.heat import HEAT, overlay_heat


def similarity_maps(
    model: AnalysisModel, image: CanvasImage, text: Tensor, reference: Tensor | None = None
) -> np.ndarray:
    """Cosines of every position with every text.

    Args:
        model: Whose encoder is looked at.
        image: On the canvas of the model's config.
        text: Unit text embeddings (T, D).
        reference: Unit embeddings (K, D) of a vocabulary: their mean cosine at a position is subtracted there. Some
            positions are near to all texts, others far from all; what is left is what a softmax over classes sees.

    Returns:
        (T, h, w) float32 on the feature grid of the canvas, padding included.
    """
    dense = model.dense(image.inputs[None])[0].float()
    if reference is not None:
        text = text - reference.mean(dim=0)  # a difference of cosines, as the dense map has unit norm
    return torch.einsum("td,dhw->thw", text.to(dense.device, dense.dtype), dense).cpu().numpy()


def on_image_area(maps: np.ndarray, image: CanvasImage) -> np.ndarray:
    """Bring maps of the feature grid to the pixels of the image area, bilinearly.

    Args:
        maps: (T, h, w), see :func:`similarity_maps`.
        image: The image they belong to.

    Returns:
        (T, height, width).
    """
    full = functional.interpolate(torch.from_numpy(maps)[None], (image.side, image.side), mode="bilinear")[0]
    return full[:, : image.area[0], : image.area[1]].numpy()


def plot_similarity_maps(
    image: CanvasImage,
    texts: Sequence[str],
    maps: Mapping[str, np.ndarray],
    path: str | Path,
    scale: str = "shared",
    value: str = "cosine",
) -> None:
    """Draw a row a text: the image, then the heat map of every checkpoint over it.

    Args:
        image: The image.
        texts: T texts.
        maps: Name of a checkpoint to its cosines (T, h, w) of the canvas.
        path: PNG to write.
        scale: ``'shared'``: one colour scale for a text, as checkpoints of one encoder need. ``'each'``: a map's own
            scale, from its lowest to its highest cosine, which stand in its corner; for encoders whose cosines lie on
            different levels.
        value: What the colours stand for.

    Raises:
        ValueError: If the scale is something else.
    """
    if scale not in ("shared", "each"):
        raise ValueError(f"scale must be 'shared' or 'each', not {scale!r}")
    heat = {name: on_image_area(cosines, image) for name, cosines in maps.items()}
    height, width = image.area
    pixel = 2.2 / max(height, width)
    tile_width, tile_height, gap = width * pixel, height * pixel, 0.12
    columns = 1 + len(maps)
    with picture(path, columns * (tile_width + gap) + 1.0, len(texts) * (tile_height + gap) + 0.5) as figure:
        for row, text in enumerate(texts):
            ranges = {name: (float(values[row].min()), float(values[row].max())) for name, values in heat.items()}
            shared = (min(low for low, _ in ranges.values()), max(high for _, high in ranges.values()))
            top = 0.4 + row * (tile_height + gap)
            tiles = [
                axes_in_inches(figure, column * (tile_width + gap), top, tile_width, tile_height)
                for column in range(columns)
            ]
            tiles[0].imshow(image.rgb, interpolation="bilinear")
            tiles[0].set_ylabel(_wrapped(text, tile_height), fontsize=10, weight="bold", labelpad=6)
            for tile, (name, values) in zip(tiles[1:], heat.items(), strict=True):
                limits = shared if scale == "shared" else ranges[name]
                drawn = _draw_heat(tile, image.rgb, values[row], limits, scale == "each")
            for tile, name in zip(tiles, ["image", *heat], strict=True):
                _bare(tile)
                if row == 0:
                    tile.set_title(_wrapped(name, tile_width), fontsize=10, pad=6)
            bar = axes_in_inches(figure, columns * (tile_width + gap), top, 0.12, tile_height)
            figure.colorbar(drawn, cax=bar, ticks=MaxNLocator(max(2, int(2.5 * tile_height))))
            bar.tick_params(labelsize=8)
            bar.set_ylabel(value, fontsize=8.5)
            if scale == "each":
                bar.set_yticks(drawn.get_clim(), ["lowest", "highest"])
                lowest, highest = bar.get_yticklabels()
                lowest.set_verticalalignment("bottom")
                highest.set_verticalalignment("top")


def _draw_heat(
    axes: Axes, image: np.ndarray, values: np.ndarray, limits: tuple[float, float], with_limits: bool
) -> ScalarMappable:
    low, high = limits[0], max(limits[1], limits[0] + 1e-6)
    if with_limits:
        text = f"{limits[0]:.2f} to {limits[1]:.2f}"
        outline = [patheffects.withStroke(linewidth=2, foreground="black")]
        style: dict[str, Any] = dict(color="white", fontsize=8, ha="right", va="bottom", path_effects=outline)
        axes.annotate(text, (1, 0), (-4, 4), "axes fraction", "offset points", **style)
    axes.imshow(overlay_heat(image, values, low, high))
    return ScalarMappable(Normalize(low, high), HEAT)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _wrapped(text: str, inches: float) -> str:
    """Break a bold text into lines that do not reach into the neighbour's."""
    return textwrap.fill(text, width=max(8, int(inches / 0.092)))
