import json
from importlib import resources

from densevlm_mm.tiny_scenes.classes import (
    BASE_THINGS,
    CLASS_NAMES,
    HELD_OUT_CLASSES,
    NOVEL_THINGS,
    SCENE_TYPES,
    SEEN_CLASSES,
    STUFF_NAMES,
    THING_NAMES,
    TIED_THINGS,
)


def test_world_has_twenty_things_and_twelve_stuff_classes_in_eighteen_scene_types():
    assert (len(set(THING_NAMES)), len(set(STUFF_NAMES)), len(set(SCENE_TYPES))) == (20, 12, 18)
    assert len(set(CLASS_NAMES)) == 32


def test_vocabulary_file_lists_the_classes_in_label_order():
    path = resources.files("densevlm_mm.vocabulary") / "data" / "tiny_scenes.json"
    classes = json.loads(path.read_text())["classes"]
    assert [c["name"] for c in classes] == list(CLASS_NAMES)
    assert [c["name"] for c in classes if c["isthing"]] == list(THING_NAMES)


def test_every_stuff_class_occurs_and_every_thing_belongs_somewhere():
    assert {name for scene in SCENE_TYPES for name in scene} == set(STUFF_NAMES)
    assert all(2 <= len(scene) <= 3 for scene in SCENE_TYPES)
    assert {thing for things in TIED_THINGS.values() for thing in things} == set(THING_NAMES)


def test_held_out_splits_partition_the_classes():
    assert sorted(BASE_THINGS + NOVEL_THINGS) == sorted(THING_NAMES)
    assert sorted(SEEN_CLASSES + HELD_OUT_CLASSES) == sorted(CLASS_NAMES)
    assert set(NOVEL_THINGS) <= set(HELD_OUT_CLASSES)
