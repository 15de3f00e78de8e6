"""Composing one image: wavy stuff bands, things that stand on them, camera noise, zoom crops; with exact labels."""

from dataclasses import dataclass

import cv2
import numpy as np

from densevlm_mm.tiny_scenes.classes import CLASS_NAMES, SCENE_TYPES, STUFF_NAMES, THING_NAMES, TIED_THINGS
from densevlm_mm.tiny_scenes.palettes import PALETTES, STUFF_PALETTES, THING_COLORS
from densevlm_mm.tiny_scenes.sprites import build_sprite_bank
from densevlm_mm.tiny_scenes.textures import build_texture_bank

TIED_SHARE = 0.85  # things that are drawn from those tied to the stuff they stand on
OWN_COLORS_SHARE = 0.85  # things in their own two colours rather than another class's
NO_THING_SHARE = 0.12
ICONIC_SHARE = 0.15  # of the images with things: one large thing
THING_SIDE = (18.0, 40.0)  # longer side, pixels
ICONIC_SIDE = (34.0, 58.0)
ZOOM_CROP_SIDE = (0.35, 0.8)  # of the image side
MIN_VISIBLE_PIXELS = 40  # a segment with fewer is void: nobody could name it
NOISE_SIGMA = 5.0  # grey levels
_BASE_SIDE = 64  # the image side for which 2 to 4 things are meant


@dataclass(frozen=True)
class Scene:
    """One labelled image.

    Attributes:
        image: Uint8 (S, S, 3) RGB.
        segment_ids: Uint8 (S, S); 0 is void, otherwise 1 + the index into ``segment_labels``.
        segment_labels: Semantic label of each segment; a thing instance or all of a stuff class is one segment.
    """

    image: np.ndarray
    segment_ids: np.ndarray
    segment_labels: tuple[int, ...]


class SceneGenerator:
    """Draws scenes of one split.

    A scene depends on ``(seed, split, index)`` alone, so a split of 500 is the beginning of one of 12,000.

    Args:
        seed: Seed of the world.
        split: ``train`` or ``val``; the splits' texture and sprite banks differ.
        image_size: Side of the square images in pixels. Textures and things keep their size in pixels; a larger image
            shows more of them.
        zoom_crop_share: Share of images replaced by a random zoom crop of themselves.
        things_per_image: Smallest and largest number of things of a scene that is neither empty nor iconic; by
            default 2 to 4 at 64 pixels, growing with the image's side.

    Raises:
        ValueError: If the split is unknown or a size or share is out of range.

    Example:
        >>> generator = SceneGenerator(seed=0, split="val")
        >>> generator.scene(3).image.shape
        (64, 64, 3)
    """

    def __init__(
        self,
        seed: int,
        split: str,
        image_size: int = 64,
        zoom_crop_share: float = 0.0,
        things_per_image: tuple[int, int] | None = None,
    ) -> None:
        if split not in ("train", "val"):
            raise ValueError(f"split is {split!r}; use 'train' or 'val'")
        if not 64 <= image_size <= 1024:
            raise ValueError(f"image_size is {image_size}; use 64 to 1024 (things are up to 58 pixels large)")
        if not 0 <= zoom_crop_share <= 1:
            raise ValueError(f"zoom_crop_share is {zoom_crop_share}; use a share in [0, 1]")
        scale = image_size / _BASE_SIDE
        self.things_per_image = things_per_image or (round(2 * scale), round(4 * scale))
        if not 1 <= self.things_per_image[0] <= self.things_per_image[1] <= 200:
            raise ValueError(f"things_per_image is {self.things_per_image}; use 1 <= smallest <= largest <= 200")
        self.seed = seed
        self.image_size = image_size
        self.zoom_crop_share = zoom_crop_share
        self._split_id = ("train", "val").index(split)
        bank_rng = np.random.default_rng([seed, self._split_id, 1])
        tiles = 24 if image_size <= _BASE_SIDE else 8  # scenes cut windows out of the tiles
        self._textures = build_texture_bank(bank_rng, image_size + 32, tiles)
        self._sprites = build_sprite_bank(bank_rng, 32)

    def scene(self, index: int) -> Scene:
        """Draw scene number ``index``."""
        rng = np.random.default_rng([self.seed, self._split_id, 2, index])
        canvas, owner, labels = self._draw(rng)
        if rng.random() < self.zoom_crop_share:
            canvas, owner = self._zoom(canvas, owner, rng)
        segment_ids, segment_labels = _segments(owner, labels)
        gain, offset = rng.uniform(0.88, 1.12), rng.uniform(-12, 12)
        noise = rng.standard_normal(canvas.shape, dtype=np.float32) * NOISE_SIGMA
        image = np.clip(canvas * gain + offset + noise, 0, 255).astype(np.uint8)
        return Scene(image, segment_ids, segment_labels)

    def _draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Colours (S, S, 3) float32, owner (S, S) index into the returned labels (stuff bands first, then things)."""
        bands = SCENE_TYPES[rng.integers(len(SCENE_TYPES))]
        band_map = _band_map(len(bands), self.image_size, rng)
        canvas = np.empty((self.image_size, self.image_size, 3), dtype=np.float32)
        for band, name in enumerate(bands):
            mask = band_map == band
            rows = np.flatnonzero(mask.any(1))  # without a gap: a band is one piece in every column
            window = np.s_[rows[0] : rows[-1] + 1]
            colors = self._stuff_colors(name, rng, int(rows[-1] - rows[0] + 1))
            np.copyto(canvas[window], colors, where=mask[window][..., None])
        labels = [CLASS_NAMES.index(name) for name in bands]
        owner = band_map.astype(np.int64)
        for name, center, side in self._things(bands, band_map, rng):
            covered = self._paste(canvas, name, center, side, rng)
            owner[covered] = len(labels)
            labels.append(CLASS_NAMES.index(name))
        return canvas, owner, labels

    def _stuff_colors(self, name: str, rng: np.random.Generator, num_rows: int) -> np.ndarray:
        tiles, size = self._textures[name], self.image_size
        top, left = rng.integers(0, tiles.shape[1] - np.array([num_rows, size]) + 1)
        tile = tiles[rng.integers(len(tiles)), top : top + num_rows, left : left + size]
        if rng.random() < 0.5:
            tile = tile[:, ::-1]
        choices = STUFF_PALETTES[name]
        low, high = PALETTES[choices[rng.integers(len(choices))]]
        first, second = np.asarray(low, dtype=np.float32), np.asarray(high, dtype=np.float32)
        if name != "bricks" and name != "floor" and rng.random() < 0.3:
            first, second = second, first
        shift = rng.normal(0, 9, 3).astype(np.float32)
        return (first + shift) + tile[..., None] * (second - first)

    def _things(
        self, bands: tuple[str, ...], band_map: np.ndarray, rng: np.random.Generator
    ) -> list[tuple[str, tuple[int, int], float]]:
        """Names, centres (x, y) and longer sides of the scene's things, in painting order."""
        if rng.random() < NO_THING_SHARE:
            return []
        iconic = rng.random() < ICONIC_SHARE
        count = 1 if iconic else int(rng.integers(self.things_per_image[0], self.things_per_image[1] + 1))
        things = []
        for _ in range(count):
            band = int(rng.integers(len(bands)))
            tied = TIED_THINGS[bands[band]]
            pool = tied if rng.random() < TIED_SHARE else THING_NAMES
            name = pool[rng.integers(len(pool))]
            side = rng.uniform(*(ICONIC_SIDE if iconic else THING_SIDE))
            rows, columns = np.nonzero(band_map == band)
            pick = rng.integers(len(rows))
            margin = 0.4 * side  # keep most of the thing inside
            x, y = np.clip((columns[pick], rows[pick]), margin, self.image_size - margin)
            things.append((name, (int(x), int(y)), side))
        return sorted(things, key=lambda thing: -thing[2])  # small things in front, or nobody would see them

    def _paste(
        self, canvas: np.ndarray, name: str, center: tuple[int, int], side: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Paint a sprite into ``canvas``; returns the bool (S, S) mask of the pixels that it covers."""
        sprites = self._sprites[name]
        sprite = sprites[rng.integers(len(sprites))]
        scale = side / max(sprite.shape[:2])
        height, width = max(1, round(sprite.shape[0] * scale)), max(1, round(sprite.shape[1] * scale))
        inks = cv2.resize(sprite, (width, height), interpolation=cv2.INTER_AREA)
        colors_of = name if rng.random() < OWN_COLORS_SHARE else THING_NAMES[rng.integers(len(THING_NAMES))]
        colors = np.asarray(THING_COLORS[colors_of], dtype=np.float32) + rng.normal(0, 14, (2, 3)).astype(np.float32)
        left, top = center[0] - width // 2, center[1] - height // 2
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, self.image_size), min(top + height, self.image_size)
        inks = inks[y0 - top : y1 - top, x0 - left : x1 - left]
        alpha = inks.sum(-1, keepdims=True)
        window = canvas[y0:y1, x0:x1]
        window[:] = window * (1 - alpha) + inks @ colors
        covered = np.zeros(canvas.shape[:2], dtype=bool)
        covered[y0:y1, x0:x1] = alpha[..., 0] > 0.5
        return covered

    def _zoom(self, canvas: np.ndarray, owner: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """A random square window, enlarged to the image size."""
        size = self.image_size
        side = int(size * rng.uniform(*ZOOM_CROP_SIDE))
        left, top = rng.integers(0, size - side + 1, 2)
        window = np.s_[top : top + side, left : left + side]
        colors = cv2.resize(canvas[window], (size, size), interpolation=cv2.INTER_LINEAR)
        owners = cv2.resize(owner[window].astype(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST)
        return colors, owners.astype(np.int64)


def _band_map(num_bands: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Band index (size, size) of every pixel; borders are wavy and every band keeps at least a fifth of the height."""
    extra = rng.dirichlet(np.full(num_bands, 2.0)) * (1 - 0.2 * num_bands)
    borders = np.cumsum(0.2 + extra)[:-1] * size
    x = np.arange(size)
    band_map = np.zeros((size, size), dtype=np.uint8)
    for border in borders:
        wave = np.zeros(size)
        for amplitude, cycles in ((0.035, (0.4, 1.2)), (0.015, (1.5, 4.0))):
            phase = rng.uniform(0, 2 * np.pi)
            height = rng.uniform(0.2, 1) * amplitude * size
            wave += height * np.sin(2 * np.pi * rng.uniform(*cycles) * x / _BASE_SIDE + phase)
        band_map += (np.arange(size)[:, None] >= border + wave).astype(np.uint8)
    return band_map


def _segments(owner: np.ndarray, labels: list[int]) -> tuple[np.ndarray, tuple[int, ...]]:
    """Number the visible segments 1, 2, ...; what is hardly visible becomes void (0)."""
    counts = np.bincount(owner.ravel(), minlength=len(labels))
    numbers = np.zeros(len(labels), dtype=np.uint8)
    kept: list[int] = []
    for index, label in enumerate(labels):
        if counts[index] >= MIN_VISIBLE_PIXELS:
            kept.append(label)
            numbers[index] = len(kept)
    return numbers[owner], tuple(kept)


def is_thing(label: int) -> bool:
    """Whether a semantic label (0..31) is a thing."""
    return label < len(CLASS_NAMES) - len(STUFF_NAMES)
