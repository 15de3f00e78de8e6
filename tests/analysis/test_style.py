import pytest

from densevlm_mm.analysis.style import SERIES, axes_in_inches, picture, series_colours, short_name, text_colour


def test_what_sticks_out_of_the_figure_is_still_in_the_picture(tmp_path, assert_whole_picture) -> None:
    path = tmp_path / "new" / "picture.png"
    with picture(path, 2, 1) as figure:
        axes = axes_in_inches(figure, 0, 0, 2, 1)
        axes.set_yticks([0.5], ["a label that is much longer than the figure is wide"])
    assert_whole_picture(path)


def test_axes_are_placed_in_inches_from_the_top_left(tmp_path) -> None:
    with picture(tmp_path / "picture.png", 4, 2) as figure:
        box = axes_in_inches(figure, 1, 0.5, 2, 1).get_position()
    assert (box.x0, box.x1, box.y0, box.y1) == pytest.approx((0.25, 0.75, 0.25, 0.75))


def test_only_png_is_written(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"\.png, not \.jpg"), picture(tmp_path / "picture.jpg", 1, 1):
        pass


def test_more_checkpoints_than_colours_are_refused() -> None:
    assert len(set(series_colours(len(SERIES)))) == len(SERIES)
    with pytest.raises(ValueError, match="too many for one picture"):
        series_colours(len(SERIES) + 1)


@pytest.mark.parametrize(("background", "expected"), [("white", "black"), ("black", "white"), ((1, 1, 0.5), "black")])
def test_text_stands_out_from_its_background(background, expected) -> None:
    assert text_colour(background) == expected


def test_class_names_are_shown_by_their_first_synonym_and_shortened() -> None:
    assert short_name("building, edifice") == "building"
    assert short_name("x" * 40, 10) == "x" * 9 + "…"
