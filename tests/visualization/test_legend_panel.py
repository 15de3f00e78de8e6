import numpy as np
import pytest

from densevlm_mm.visualization.legend_panel import LegendEntry, draw_legend, legend_font, wrap


def entry(name: str, colour: tuple[int, int, int] = (10, 200, 30)) -> LegendEntry:
    return LegendEntry(name, np.array(colour), np.array([0.25, 0.0]))


@pytest.mark.parametrize("name", ["sky", "person, individual, someone, somebody, mortal, soul", "x" * 200])
def test_lines_fit_and_lose_nothing(name: str) -> None:
    lines = wrap(name, 120)
    assert max(legend_font().getlength(line) for line in lines) <= 120
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
