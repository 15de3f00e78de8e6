import numpy as np
import pytest

from densevlm_mm.tiny_scenes.classes import STUFF_NAMES
from densevlm_mm.tiny_scenes.textures import build_texture_bank, stuff_texture


@pytest.mark.parametrize("name", STUFF_NAMES)
def test_texture_uses_the_whole_grey_range_and_repeats_with_its_seed(name):
    tile = stuff_texture(name, np.random.default_rng(3), 48)
    assert tile.shape == (48, 48)
    assert tile.dtype == np.float32
    assert tile.min() == 0
    assert tile.max() == 1
    assert tile.std() > 0.05
    np.testing.assert_array_equal(tile, stuff_texture(name, np.random.default_rng(3), 48))
    assert not np.array_equal(tile, stuff_texture(name, np.random.default_rng(4), 48))


def test_bank_holds_different_tiles_of_every_class():
    bank = build_texture_bank(np.random.default_rng(0), 40, 3)
    assert set(bank) == set(STUFF_NAMES)
    assert all(tiles.shape == (3, 40, 40) for tiles in bank.values())
    assert not np.array_equal(bank["sky"][0], bank["sky"][1])


def test_unknown_stuff_is_refused_with_the_known_names():
    with pytest.raises(KeyError, match=r"lava.*curtain"):
        stuff_texture("lava", np.random.default_rng(0), 40)
