"""Values of --cfg-options."""

import argparse

import pytest
from mmengine.config import DictAction

from densevlm_mm.apis.config_options import ConfigOptions, parse_value


@pytest.mark.parametrize(
    "text",
    [
        "1",
        "-1e-3",
        "true",
        "False",
        "None",
        "sky",
        "a,b",
        "[a,b]",
        "(1,2)",
        "1,2,3",
        "[(1,2),[a,b],c]",
        "",
        "[]",
        "'a'",
    ],
)
def test_what_has_no_blanks_means_what_it_means_for_mmengine(text: str) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--mm", nargs="+", action=DictAction)
    parser.add_argument("--ours", nargs="+", action=ConfigOptions)
    args = parser.parse_args(["--mm", f"key={text}", "--ours", f"key={text}"])
    assert args.ours == args.mm


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("data/my photos (1)", "data/my photos (1)"),
        ("['sky', 'traffic light']", ["sky", "traffic light"]),
        ("('sky', 'traffic light')", ("sky", "traffic light")),
        ("a=b", "a=b"),
    ],
)
def test_blanks_stay(text: str, value: object) -> None:
    assert parse_value(text) == value


@pytest.mark.parametrize(
    "text", ["dict(type='AdamW')", "{'type': 'AdamW'}", "[dict(type='LinearLR')]", "[{'end': 3}]", "{type: AdamW}"]
)
def test_a_dict_is_refused_with_the_two_ways_to_say_it(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=ConfigOptions)
    with pytest.raises(SystemExit):
        parser.parse_args(["--cfg-options", f"model.loss={text}"])
    message = capsys.readouterr().err
    assert f"model.loss={text}: a dict cannot be given here. Set its keys one by one" in message
    assert "_base_" in message


@pytest.mark.parametrize(
    ("text", "fix"), [("[sky, traffic light]", "need quotes"), ("sky,traffic light", "quotes"), ("[a,(b]", "bracket")]
)
def test_what_would_be_read_wrongly_is_refused(text: str, fix: str) -> None:
    with pytest.raises(ValueError, match=fix):
        parse_value(text)
