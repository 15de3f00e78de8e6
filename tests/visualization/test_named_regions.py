from typing import Any

import numpy as np
import pytest

from densevlm_mm.visualization import named_regions
from densevlm_mm.visualization.detected_regions import detected_regions
from densevlm_mm.visualization.named_regions import NamedRegion, draw_named_regions

RED, BLUE = (200, 0, 0), (0, 0, 200)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Texts that are written and the size of their letters."""
    texts: list[tuple[str, int]] = []
    draw_text = named_regions.draw_text

    def spy(draw: Any, corner: Any, text: str, size: int, fill: Any) -> None:
        texts.append((text, size))
        draw_text(draw, corner, text, size, fill)

    monkeypatch.setattr(named_regions, "draw_text", spy)
    return texts


def grey(height: int, width: int) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


def test_boxes_masks_and_points_are_drawn_where_they_are() -> None:
    mask = np.zeros((480, 640), bool)
    mask[100:200, 100:200] = True
    regions = [
        NamedRegion("a", RED, box=(300, 300, 400, 400)),
        NamedRegion("b", BLUE, mask=mask),
        NamedRegion("c", RED, point=(50, 400)),
    ]
    picture = draw_named_regions(grey(480, 640), regions)
    assert tuple(picture[350, 300]) == RED
    assert tuple(picture[300, 390]) == RED
    inside = picture[180, 180].astype(int)
    assert inside[2] > inside[0]  # tinted
    assert tuple(picture[400, 50]) == RED or tuple(picture[402, 46]) == RED
    assert (picture[450:, 500:] == 128).all()


def test_names_beyond_the_limit_are_counted(written: list[tuple[str, int]]) -> None:
    regions = [NamedRegion(f"name {n}", RED, box=(40 * n, 50, 40 * n + 30, 90)) for n in range(15)]
    draw_named_regions(grey(480, 640), regions, max_labels=3)
    assert [text for text, _ in written] == ["name 0", "name 1", "name 2", "+12 more"]


def test_names_without_a_place_are_counted_too(written: list[tuple[str, int]]) -> None:
    regions = [NamedRegion("a name that is quite long", RED, box=(0, 0, 5, 5))] * 60
    draw_named_regions(grey(100, 640), regions, max_labels=100, min_size=0)
    names = [text for text, _ in written if not text.startswith("+")]
    assert 0 < len(names) < 60
    assert written[-1][0] == f"+{60 - len(names)} more"


@pytest.mark.parametrize(("size", "letters"), [((48, 64), 12), ((480, 640), 12), ((3000, 4000), 52)])
def test_letters_grow_with_the_picture(size: tuple[int, int], letters: int, written: list[tuple[str, int]]) -> None:
    picture = draw_named_regions(grey(*size), [NamedRegion("a", RED, box=(1, 1, 20, 20))])
    assert max(picture.shape) >= 640
    assert written == [("a", letters)]


def test_detections_come_by_score_and_classes_have_their_own_colours() -> None:
    boxes = np.array([[0, 0, 9, 9], [0, 0, 5, 5], [1, 1, 2, 2]], float)
    regions = detected_regions(["tram", "van", "tram"], [3, 7, 3], boxes, scores=np.array([0.2, 0.9, np.nan]))
    assert [region.text for region in regions] == ["van 0.90", "tram 0.20", "tram nan"]
    assert regions[1].colour == regions[2].colour != regions[0].colour
    base, novel = detected_regions(["tram", "van"], [0, 1], boxes[:2], is_novel=[False, True])
    assert (base.text, novel.text) == ("tram", "van (novel)")
    assert base.colour != novel.colour
