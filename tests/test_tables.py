import json

from densevlm_mm.tables import write_csv, write_json


def test_nan_becomes_null_and_an_empty_cell(tmp_path) -> None:
    nan = float("nan")
    write_json(tmp_path / "new" / "a.json", {"x": [1.0, nan], "y": (nan, "z")})
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"x": [1.0, None], "y": [None, "z"]}
    write_csv(tmp_path / "a.csv", [{"x": nan, "y": 2}, {"x": "a, b", "y": None}], ["x", "y"])
    assert (tmp_path / "a.csv").read_text() == 'x,y\n,2\n"a, b",\n'


def test_layout_is_compact_and_any_string_survives(tmp_path) -> None:
    content = {"counts": [[1, 2], [3, 4]], "names": ["a [b", "c\n  d", "e] {f}"], "nested": [{"x": []}]}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == content
    assert "[ 1, 2 ]" in text


def test_a_table_without_rows_has_a_header(tmp_path) -> None:
    write_csv(tmp_path / "a.csv", [], ["x", "y"])
    assert (tmp_path / "a.csv").read_text() == "x,y\n"
