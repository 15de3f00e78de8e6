"""Colours of TinyScenes. Stuff classes share palettes, so that a region's mean colour does not tell its class."""

Color = tuple[int, int, int]  # RGB, 0-255

# (colour where the texture is 0, colour where it is 1)
PALETTES: dict[str, tuple[Color, Color]] = {
    "blue_white": ((96, 146, 208), (226, 235, 244)),
    "pale": ((186, 204, 226), (250, 251, 252)),
    "deep_blue": ((42, 88, 150), (112, 160, 206)),
    "grey": ((92, 94, 100), (164, 165, 168)),
    "tan": ((186, 156, 108), (232, 208, 162)),
    "brown": ((104, 72, 46), (168, 124, 80)),
    "red": ((134, 50, 46), (198, 98, 82)),
    "green": ((52, 108, 46), (116, 166, 78)),
    "dark_green": ((26, 62, 36), (72, 116, 62)),
    "purple": ((84, 52, 104), (150, 112, 164)),
}

STUFF_PALETTES: dict[str, tuple[str, ...]] = {
    "sky": ("blue_white", "pale", "deep_blue"),
    "sea": ("blue_white", "deep_blue"),
    "snow": ("blue_white", "pale"),
    "grass": ("green", "dark_green"),
    "forest": ("green", "dark_green"),
    "sand": ("tan", "grey"),
    "rock": ("grey", "brown"),
    "road": ("grey", "brown"),
    "bricks": ("red", "tan"),
    "floor": ("brown", "tan"),
    "carpet": ("red", "purple"),
    "curtain": ("red", "purple"),
}

# A thing's own two colours; other things' pairs are used now and then, see `scenes.OWN_COLORS_SHARE`.
THING_COLORS: dict[str, tuple[Color, Color]] = {
    "boat": ((120, 60, 30), (245, 245, 240)),
    "surfboard": ((250, 200, 60), (230, 60, 60)),
    "kite": ((220, 40, 60), (250, 220, 50)),
    "plane": ((235, 238, 242), (60, 90, 170)),
    "car": ((200, 40, 40), (40, 45, 60)),
    "bus": ((245, 180, 30), (50, 60, 80)),
    "sheep": ((240, 236, 224), (50, 45, 45)),
    "cow": ((240, 240, 240), (90, 55, 40)),
    "skis": ((230, 70, 40), (40, 40, 50)),
    "snowboard": ((70, 60, 180), (240, 150, 40)),
    "umbrella": ((60, 150, 220), (245, 245, 245)),
    "ball": ((245, 245, 245), (210, 50, 50)),
    "clock": ((70, 50, 40), (245, 240, 225)),
    "picture": ((180, 140, 60), (120, 180, 200)),
    "chair": ((150, 90, 45), (210, 170, 90)),
    "lamp": ((250, 230, 150), (90, 80, 80)),
    "bear": ((95, 60, 35), (200, 160, 110)),
    "tent": ((240, 130, 40), (80, 50, 40)),
    "bike": ((30, 30, 35), (40, 170, 120)),
    "cup": ((240, 240, 245), (60, 110, 190)),
}
