import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import DictAction

from densevlm_mm.apis.option_values import LiteralAction, parse_value


def parse(*arguments: str, action: type = LiteralAction) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=action)
    return parser.parse_args(["--cfg-options", *arguments]).cfg_options


SHORTHAND = """
8  1e-4  -1  True  false  None  none  vild  a/b.json  []  [1,2]  (0.9,0.98)  [(0,1),[a,b],c]  1,2,3  a,b
['boat','car']  'quoted'  bfloat16  open_clip:openai  x(1)  nan
"""


@pytest.mark.parametrize("value", SHORTHAND.split())
def test_what_mmengine_reads_rightly_is_read_alike(value: str) -> None:
    ours, theirs = parse(f"a.b={value}"), parse(f"a.b={value}", action=DictAction)
    assert repr(ours) == repr(theirs)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("['fire hydrant', 'car']", ["fire hydrant", "car"]),
        ("[fire hydrant, car]", ["fire hydrant", "car"]),
        ("['bat (wood, baseball)', \"dog's bed\"]", ["bat (wood, baseball)", "dog's bed"]),
        ("[bat (wood, baseball), dog's bed]", ["bat (wood, baseball)", "dog's bed"]),
        ("/data/My images, 2024/val", ["/data/My images", "2024/val"]),
        ("'/data/My images, 2024/val'", "/data/My images, 2024/val"),
        ("/data/My images/val", "/data/My images/val"),
        ("{'type': 'SGD', 'lr': 0.1}", {"type": "SGD", "lr": 0.1}),
        ("[{'vocabulary': ['boat', 'fire hydrant']}]", [{"vocabulary": ["boat", "fire hydrant"]}]),
        ("a=b", "a=b"),
        ("['公交车', '自行车']", ["公交车", "自行车"]),
        ("", ""),
    ],
)
def test_values_are_what_was_written(value: str, expected: Any) -> None:
    assert parse(f"key={value}") == {"key": expected}


@pytest.mark.parametrize(
    "value", ["dict(type='X')", "[dict(a=1), 2]", "{type: X}", "[1, 2", "(1, [2)", "a, b)", "{'a': open('x')}"]
)
def test_what_is_no_literal_is_refused_with_its_key(value: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(f"model.encoder={value}")
    assert ended.value.code == 2
    assert "--cfg-options model.encoder: " in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("argument", ["train.lr", "=3", ""])
def test_arguments_without_key_or_value_are_refused(argument: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit):
        parse(argument)
    assert "KEY=VALUE" in capsys.readouterr().err


def test_flags_add_up_and_code_stays_text(tmp_path: Path) -> None:
    code = f"__import__('pathlib').Path('{tmp_path}/ran').touch()"
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=LiteralAction)
    options = parser.parse_args(["--cfg-options", "a=1", f"b={code}", "--cfg-options", "c=2"]).cfg_options
    assert options == {"a": 1, "b": code, "c": 2}
    assert not (tmp_path / "ran").exists()


literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(st.lists(literals, max_size=3))
def test_every_literal_comes_back(value: list) -> None:
    assert repr(parse_value(repr(value))) == repr(value)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(st.text(alphabet="ab1 .,='\"()[]{}#\\\n", max_size=16))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        parse_value(text)
