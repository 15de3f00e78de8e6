"""``--cfg-options KEY=VALUE``: what a value on the command line stands for."""

import argparse
import ast
import re
from collections.abc import Sequence
from typing import Any

from mmengine.config import DictAction


class ConfigOptions(argparse.Action):
    """mmengine's ``DictAction`` that keeps blanks and says what to do about a dict.

    A value is a Python literal where it is one (``"['sky', 'traffic light']"``), else what ``DictAction`` makes of it:
    ``[a,b]`` and ``1,2`` are lists, ``true`` is a boolean, anything else text. ``DictAction`` takes all blanks out:
    ``my photos`` would become ``myphotos``.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        """Add the options to those of an earlier flag of the name; ends the program with a message if one is wrong."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for text in values or ():
            key, separator, value = str(text).partition("=")
            if not separator:
                parser.error(f"{option_string} {text}: write KEY=VALUE, without blanks around the '='")
            try:
                options[key] = parse_value(value)
            except ValueError as error:
                parser.error(f"{option_string} {text}: {error}")
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """Read a value.

    Args:
        text: What follows the ``=``.

    Raises:
        ValueError: If it is or holds a dict, or is a list of unquoted texts with blanks.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = _parse_unquoted(text)
    if _holds_a_dict(value):
        raise ValueError(_NO_DICT)
    # As DictAction: "1,2" without brackets is a list, and "(1)" a tuple.
    in_brackets = text.strip().startswith("(") and text.strip().endswith(")")
    if isinstance(value, tuple):
        return value if in_brackets else list(value)
    return (value,) if in_brackets else value


_NO_DICT = (
    "a dict cannot be given here. Set its keys one by one, as in model.loss.threshold=0.5 (an item of a list by its "
    "number: param_scheduler.0.end=50), or write a config of a few lines with _base_ and the dict in it"
)


def _parse_unquoted(text: str) -> Any:
    if re.search(r"\bdict\(", text) or text.lstrip().startswith("{"):
        raise ValueError(_NO_DICT)
    if not (text.lstrip().startswith(("[", "(")) or "," in text):
        return DictAction._parse_int_float_bool(text.strip("'\""))
    if re.search(r"[^\s,\[(]\s+[^\s,\])]", text):
        raise ValueError("texts with blanks in a list need quotes, as in \"['sky', 'traffic light']\"")
    try:
        return DictAction._parse_iterable(text)
    except AssertionError as error:
        raise ValueError(f"{error}: close every bracket, or put the text in quotes") from error


def _holds_a_dict(value: Any) -> bool:
    return isinstance(value, dict | set) or (isinstance(value, list | tuple) and any(map(_holds_a_dict, value)))
