"""TinyScenes: a generated world of things and stuff on which the whole method trains in minutes."""

from densevlm_mm.tiny_scenes.classes import (
    BASE_THINGS,
    CLASS_NAMES,
    HELD_OUT_CLASSES,
    IGNORE_LABEL,
    NOVEL_THINGS,
    SEEN_CLASSES,
    STUFF_NAMES,
    THING_NAMES,
)
from densevlm_mm.tiny_scenes.scenes import Scene, SceneGenerator
from densevlm_mm.tiny_scenes.writer import LoadedSplit, generate_tiny_scenes, load_tiny_scenes

__all__ = [
    "BASE_THINGS",
    "CLASS_NAMES",
    "HELD_OUT_CLASSES",
    "IGNORE_LABEL",
    "NOVEL_THINGS",
    "SEEN_CLASSES",
    "STUFF_NAMES",
    "THING_NAMES",
    "LoadedSplit",
    "Scene",
    "SceneGenerator",
    "generate_tiny_scenes",
    "load_tiny_scenes",
]
