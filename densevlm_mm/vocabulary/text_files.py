"""Reading the small text files that people write by hand: lists of names or images, vocabularies in JSON."""

import codecs
import json
from collections import Counter
from pathlib import Path
from typing import Any

# UTF-32's marks begin with UTF-16's.
_FOREIGN_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)


def decode_text(content: bytes, where: str) -> str:
    """Decode UTF-8, with or without byte order mark.

    Args:
        content: Of the file.
        where: Which file, for the error.

    Raises:
        ValueError: If it is UTF-16, UTF-32, in an older encoding such as Latin-1, or no text.
    """
    for mark, encoding in _FOREIGN_MARKS:
        if content.startswith(mark):
            raise ValueError(f"{where} is {encoding}, not UTF-8: {_fix(encoding)}")
    if b"\0" in content:
        if content.count(0) >= len(content) // 3:  # a script of Latin letters in two or four bytes each
            raise ValueError(f"{where} is UTF-16 or UTF-32 without a byte order mark, not UTF-8: {_fix('UTF-16LE')}")
        raise ValueError(f"{where} is no text file, it holds zero bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{where} is not UTF-8 (byte 0x{content[error.start]:02X} in line {line}): {_fix('LATIN1')}, if that is "
            "its encoding"
        ) from error


def parse_lines(content: bytes, where: str) -> list[str]:
    r"""The lines of a list that say something, without outer blanks.

    Left out are blank lines and comments, which begin with ``#``; an entry that begins with it is written ``\#``. Lines
    end as on any system.

    Args:
        content: Of the file.
        where: Which file, for the error.

    Raises:
        ValueError: If it is not UTF-8.
    """
    text = decode_text(content, where).replace("\r\n", "\n").replace("\r", "\n")  # splitlines() would part at U+2028
    lines = [line for line in map(str.strip, text.split("\n")) if line and not line.startswith("#")]
    return [line[1:] if line.startswith("\\#") else line for line in lines]


def read_lines(path: str | Path, what: str) -> list[str]:
    """Read a list from a local file, see `parse_lines`.

    Args:
        path: The file.
        what: What it is, for the error.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8.
    """
    return parse_lines(_content(path, what), f"{what} {path}")


def read_json(path: str | Path, what: str) -> Any:
    """Read a JSON file in which no key stands twice in an object.

    Args:
        path: The file.
        what: What it is, for the error.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not UTF-8 or not JSON, or a key stands twice.
    """
    where = f"{what} {path}"

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entry = dict(pairs)
        if len(entry) < len(pairs):
            repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"{where}: the key {repeated!r} stands twice in {entry!s:.120}: remove one")
        return entry

    try:
        return json.loads(decode_text(_content(path, what), where), object_pairs_hook=once)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{where} is not JSON that anyone can read: it is nested too deeply") from error


def _content(path: str | Path, what: str) -> bytes:
    if not Path(path).is_file():
        kind = "is a folder, not a file" if Path(path).is_dir() else "does not exist"
        raise FileNotFoundError(f"{what} {path} {kind}")
    return Path(path).read_bytes()


def _fix(encoding: str) -> str:
    return f"save it as UTF-8, for example with `iconv -f {encoding} -t UTF-8 OLD > NEW`"
