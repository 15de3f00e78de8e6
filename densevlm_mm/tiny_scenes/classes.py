"""What TinyScenes consists of: its classes, its scene types, which things belong to which stuff, the held-out splits.

Plain facts. The order of `CLASS_NAMES` is that of ``vocabularies/tiny_scenes.json``: things first. A class's semantic
label is its position (0..31), its COCO category id is the position + 1.
"""

THING_NAMES: tuple[str, ...] = (
    "boat",
    "surfboard",
    "kite",
    "plane",
    "car",
    "bus",
    "sheep",
    "cow",
    "skis",
    "snowboard",
    "umbrella",
    "ball",
    "clock",
    "picture",
    "chair",
    "lamp",
    "bear",
    "tent",
    "bike",
    "cup",
)
STUFF_NAMES: tuple[str, ...] = (
    "sky",
    "sea",
    "grass",
    "sand",
    "snow",
    "road",
    "bricks",
    "floor",
    "forest",
    "rock",
    "carpet",
    "curtain",
)
CLASS_NAMES: tuple[str, ...] = THING_NAMES + STUFF_NAMES
IGNORE_LABEL = 255

# Things seen together with the stuff they stand on: the statistics that captions turn into foreground bias.
TIED_THINGS: dict[str, tuple[str, ...]] = {
    "sky": ("kite", "plane"),
    "sea": ("boat", "surfboard"),
    "grass": ("sheep", "cow"),
    "sand": ("umbrella", "ball"),
    "snow": ("skis", "snowboard"),
    "road": ("car", "bus", "bike"),
    "bricks": ("clock", "picture"),
    "floor": ("chair", "cup"),
    "forest": ("bear", "tent"),
    "rock": ("bear",),
    "carpet": ("lamp", "chair"),
    "curtain": ("lamp", "picture"),
}

# Stuff bands from the top of the image to the bottom.
SCENE_TYPES: tuple[tuple[str, ...], ...] = (
    ("sky", "sea"),
    ("sky", "sea", "sand"),
    ("sea", "sand"),
    ("sky", "grass"),
    ("sky", "forest", "grass"),
    ("sky", "snow"),
    ("sky", "forest", "snow"),
    ("rock", "snow"),
    ("sky", "bricks", "road"),
    ("forest", "road", "grass"),
    ("bricks", "road"),
    ("sky", "rock", "sand"),
    ("rock", "forest", "sea"),
    ("curtain", "floor"),
    ("bricks", "floor"),
    ("curtain", "carpet"),
    ("bricks", "floor", "carpet"),
    ("curtain", "floor", "carpet"),
)

# Open-vocabulary detection trains on the base things and is tested on both.
NOVEL_THINGS: tuple[str, ...] = ("surfboard", "bus", "cow", "snowboard", "cup")
BASE_THINGS: tuple[str, ...] = tuple(name for name in THING_NAMES if name not in NOVEL_THINGS)

# Open-vocabulary segmentation trains without these labels (their pixels become IGNORE_LABEL) and is tested on all.
HELD_OUT_CLASSES: tuple[str, ...] = (*NOVEL_THINGS, "snow", "rock", "carpet")
SEEN_CLASSES: tuple[str, ...] = tuple(name for name in CLASS_NAMES if name not in HELD_OUT_CLASSES)


def splits() -> dict[str, list[str]]:
    """The base/novel and seen/held-out splits as they are written to ``annotations/splits.json``."""
    return {
        "base_things": list(BASE_THINGS),
        "novel_things": list(NOVEL_THINGS),
        "seen_classes": list(SEEN_CLASSES),
        "held_out_classes": list(HELD_OUT_CLASSES),
    }
