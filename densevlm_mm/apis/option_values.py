"""Values of ``--cfg-options KEY=VALUE``: literals, of which nothing is run and nothing is lost."""

import argparse
import ast
from collections.abc import Iterator, Sequence
from typing import Any

_OPENING, _CLOSING = "([{", ")]}"


class LiteralAction(argparse.Action):
    """Gathers ``KEY=VALUE`` arguments in a dict, see :func:`parse_value`.

    mmengine's ``DictAction`` takes the spaces out of every value ('fire hydrant' becomes a class 'firehydrant', and a
    folder 'My images' another one), cuts names in quotes at their commas, and does not come back from ``dict(...)``.
    """

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        """Add the values to those of earlier flags."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for argument in values if isinstance(values, Sequence) and not isinstance(values, str) else [values]:
            key, separator, text = argument.partition("=")
            if not separator or not key.strip():
                parser.error(f"{option_string} takes KEY=VALUE, got {argument!r}")
            try:
                options[key.strip()] = parse_value(text)
            except ValueError as error:
                parser.error(f"{option_string} {key.strip()}: {error}")
        setattr(namespace, self.dest, options)


def parse_value(text: str) -> Any:
    """Read a value of the command line.

    Args:
        text: A Python literal (``['fire hydrant', 'bat (wood, baseball)']``, ``{'type': 'SGD'}``, ``1e-4``), ``true``,
            ``false``, a list without quotes (``[a, b]``, ``(a, b)``, ``a,b``), or any other text, which is taken as it
            is.

    Raises:
        ValueError: If brackets or quotes do not match, or the text is a call such as ``dict(...)``.

    Example:
        >>> parse_value("[(0.9, 0.98), fire hydrant]")
        [(0.9, 0.98), 'fire hydrant']
    """
    text = text.strip()
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if text == "None":
        return None
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            pass
    if text[:1] and text[0] in "([{'\"":
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
    if text.startswith("{"):
        raise ValueError(f"{text} is no literal: write {{'key': value}}, with quotes around texts")
    if text.startswith(("[", "(")) and _matching(text) == len(text) - 1:
        values = [parse_value(item) for item in _items(text[1:-1])]
        return tuple(values) if text[0] == "(" else values
    items = list(_items(text))
    if any(item.partition("(")[0].strip().isidentifier() and item.endswith(")") and "=" in item for item in items):
        raise ValueError(f"{text} is a call, which is not run: write the values, {{'type': ..., 'key': ...}}")
    return text if len(items) < 2 else [parse_value(item) for item in items]


def _matching(text: str) -> int:
    """Place of the bracket that closes the first one."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0:
            return place
    return -1


def _items(text: str) -> Iterator[str]:
    """The parts between commas that lie in no brackets and no quotes; a comma may end the last one."""
    start = depth = 0
    quote = ""
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and not text[start:place].strip():  # one within a word is an apostrophe
            quote = character
        elif character in _OPENING + _CLOSING:
            depth += 1 if character in _OPENING else -1
            if depth < 0:
                break
        elif character == "," and depth == 0:
            yield text[start:place].strip()
            start = place + 1
    if depth or quote:
        raise ValueError(f"brackets or quotes in {text} do not match")
    if text[start:].strip():
        yield text[start:].strip()
