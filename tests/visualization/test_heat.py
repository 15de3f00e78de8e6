import matplotlib
import numpy as np
import pytest

from densevlm_mm.visualization.heat import HEAT, draw_heat_maps, overlay_heat


def test_the_colours_are_the_maps_over_a_grey_photograph() -> None:
    image = np.zeros((2, 3, 3), np.uint8)
    image[..., 1] = 200
    values = np.array([[0.0, 0.5, 1.0], [2.0, -1.0, 0.5]])
    found = overlay_heat(image, values, 0.0, 1.0, alpha=0.5)
    colours = matplotlib.colormaps[HEAT](values.clip(0, 1))[..., :3] * 255
    grey = 0.587 * 200
    np.testing.assert_allclose(found, (colours + grey) / 2, atol=1.5)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60)])
def test_maps_lie_on_the_photograph_beside_each_other(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    texts = ["sky", "a name that is far too long for the tile that it stands above" * 3]
    picture = draw_heat_maps(image, texts, np.zeros((2, *shape)))
    assert picture.dtype == np.uint8
    tall = 480 * shape[0] / max(shape)
    assert picture.shape[0] > (2 if shape[1] > shape[0] else 1) * tall  # landscape photos go below each other
