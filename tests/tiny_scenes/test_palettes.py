from collections import Counter

from densevlm_mm.tiny_scenes.classes import STUFF_NAMES, THING_NAMES
from densevlm_mm.tiny_scenes.palettes import PALETTES, STUFF_PALETTES, THING_COLORS


def test_each_stuff_class_has_several_palettes_and_each_palette_several_classes():
    users = Counter(palette for palettes in STUFF_PALETTES.values() for palette in palettes)
    assert set(STUFF_PALETTES) == set(STUFF_NAMES)
    assert all(len(set(palettes)) >= 2 for palettes in STUFF_PALETTES.values())
    assert set(users) == set(PALETTES)
    assert min(users.values()) >= 2


def test_each_thing_has_its_own_pair_of_colours():
    assert set(THING_COLORS) == set(THING_NAMES)
    assert len(set(THING_COLORS.values())) == len(THING_NAMES)
