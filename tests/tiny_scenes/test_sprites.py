import numpy as np
import pytest

from densevlm_mm.tiny_scenes.classes import THING_NAMES
from densevlm_mm.tiny_scenes.sprites import build_sprite_bank, draw_sprite


@pytest.mark.parametrize("name", THING_NAMES)
def test_sprite_shows_both_inks_and_fills_its_frame(name):
    sprite = draw_sprite(name, np.random.default_rng(1))
    assert sprite.dtype == np.float32
    assert sprite.min() >= 0
    assert sprite.sum(-1).max() <= 1 + 1e-5
    assert (sprite > 0.9).any((0, 1)).tolist() == [True, True]
    covered = sprite.sum(-1) > 0.25
    assert all(covered[edge].any() for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]))


def test_sprites_of_a_class_differ():
    bank = build_sprite_bank(np.random.default_rng(0), 2)
    assert set(bank) == set(THING_NAMES)
    assert all(not np.array_equal(first, second) for first, second in bank.values())


def test_unknown_thing_is_refused_with_the_known_names():
    with pytest.raises(KeyError, match=r"dragon.*cup"):
        draw_sprite("dragon", np.random.default_rng(0))
