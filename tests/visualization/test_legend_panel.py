import numpy as np
import pytest

from densevlm_mm.visualization.fonts import text_width
from densevlm_mm.visualization.legend_panel import FONT_SIZE, LegendEntry, draw_legend, wrap


def entry(name: str, colour: tuple[int, int, int] = (10, 200, 30)) -> LegendEntry:
    return LegendEntry(name, np.array(colour), np.array([0.25, 0.0]))


@pytest.mark.parametrize("name", ["sky", "person, individual, someone, somebody, mortal, soul", "x" * 200])
def test_lines_fit_and_lose_nothing(name: str) -> None:
    lines = wrap(name, 120)
    assert max(text_width(line, FONT_SIZE) for line in lines) <= 120
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")


def test_every_swatch_is_on_the_panel_and_nothing_touches_its_border() -> None:
    colours = [(200, 0, step) for step in range(0, 240, 2)]
    panel = draw_legend(
        [entry(f"class {c}, with another name", c) for c in colours], ["ground truth", "prediction"], 300
    )
    assert panel.shape[0] == 300
    present = np.unique(panel @ np.array([1, 256, 65536]))
    assert np.isin(np.array(colours) @ np.array([1, 256, 65536]), present).all()
    for border in (panel[0], panel[-1], panel[:, 0], panel[:, -1]):
        assert (border == 255).all()


def test_entry_taller_than_the_panel_makes_it_taller() -> None:
    panel = draw_legend([entry("long name " * 60)], ["ground truth", "prediction"], 100)
    assert panel.shape[0] > 100
    assert (panel[-1] == 255).all()


def test_no_class_gives_an_empty_panel() -> None:
    assert draw_legend([], [], 64).shape[0] == 64


def test_classes_of_any_script_look_different() -> None:
    names = ["自行车", "公交车", "電車", "자전거", "автобус", "دراجة", "🚲", "price $x_{2$", "50 % \\off^2"]
    panels = [draw_legend([entry(name)], ["ground truth", "prediction"], 100) for name in names]
    for one in range(len(names)):
        for other in range(one):
            same_size = panels[one].shape == panels[other].shape
            assert not same_size or not np.array_equal(panels[one], panels[other]), (names[one], names[other])
