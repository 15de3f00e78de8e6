"""Reading JSON files of annotations, with errors that name the file, the record and the key."""

import contextlib
import gc
import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from mmengine import fileio

_KINDS = dict(int="a whole number", float="a number", str="text", array="a list", object="an object", bool="true/false")
# What people put where a JSON file should be, by its first bytes.
_IMPOSTORS = (
    (b"\xff\xfe", "it is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16: save it as UTF-8"),
    (b"\x1f\x8b", "it is compressed with gzip: unpack it"),
    (b"PK\x03\x04", "it is a zip archive: unpack it"),
    (b"version https://git-lfs", "it is a pointer of Git LFS: fetch the file itself with 'git lfs pull'"),
    (b"<", "it is a web page: fetch the file again"),
)
_UTF8_MARK = b"\xef\xbb\xbf"


def read_json(path: str, what: str, kind: Any = Any, backend_args: dict | None = None) -> Any:
    """Read a JSON file, its content checked against a type.

    Args:
        path: Path or URI.
        what: What the file is, for the error.
        kind: Type of the content, as msgspec has them; ``Any`` takes every JSON.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        The content.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not JSON, or a value is of another type; names the record and the key.
    """
    require_existing(path, what, backend_args)
    try:
        content = fileio.get(path, backend_args=backend_args)
    except IsADirectoryError as error:
        raise ValueError(f"{what} {path} is a folder, not a file") from error
    return parse_json(content, f"{what} {path}", kind)


def parse_json(content: bytes, source: str, kind: Any = Any) -> Any:
    """Parse JSON, checked against a type.

    Args:
        content: The file's bytes, UTF-8 with or without byte order mark.
        source: What and where the file is, for the error.
        kind: Type of the content, as msgspec has them.

    Raises:
        ValueError: As :func:`read_json`.
    """
    content = content.removeprefix(_UTF8_MARK)
    try:
        with _no_garbage_collection():
            return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{source}: {_wrong_type(content, str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(_no_json(content, source, str(error))) from error
    except RecursionError as error:
        raise ValueError(f"{source} is not valid JSON (nested too deeply): fetch or convert it again") from error


def require_existing(path: str, what: str, backend_args: dict | None = None) -> None:
    """Check that a file or folder is there.

    Args:
        path: Path or URI.
        what: What it is, for the error.
        backend_args: Arguments of mmengine's file backend.

    Raises:
        FileNotFoundError: If it is not.
    """
    if not fileio.exists(path, backend_args=backend_args):
        raise FileNotFoundError(f"{what} {path} does not exist: check data_root, data_prefix and the file names")


def read_lists(path: str, what: str, keys: Sequence[str], backend_args: dict | None = None) -> dict[str, Any]:
    """Read an annotation file that must be a JSON object with certain lists in it.

    Args:
        path: Path or URI.
        what: What the file is, for the error.
        keys: Lists that it must hold.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        The content; what stands in the lists is not checked.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no JSON, no object, or misses a list.
    """
    content = read_json(path, what, backend_args=backend_args)
    missing = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if missing:
        found = sorted(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"{what} {path} has no {missing[0]!r} list, only {found}: is it the right file?")
    return content


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Millions of new objects, none of them garbage: looking for it would double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _no_json(content: bytes, source: str, reason: str) -> str:
    for start, cause in _IMPOSTORS:
        if content.startswith(start):
            return f"{source} is not valid JSON: {cause}"
    if not content.strip():
        return f"{source} is empty: fetch or convert it again"
    if b"\x00" in content[:4]:
        return f"{source} is not valid JSON: it is UTF-16 or UTF-32, save it as UTF-8"
    if re.search(rb"NaN|Infinity", content):  # Python's json writes them, although JSON has no such numbers
        with contextlib.suppress(ValueError, RecursionError):
            parsed = json.loads(content)
            steps = next(_not_finite(parsed), None)
            if steps is not None:
                return f"{source}: {describe_place(parsed, steps)}, but NaN and Infinity are no numbers to JSON"
    return f"{source} is not valid JSON ({reason}): fetch or convert it again"


def _not_finite(node: Any, steps: tuple = ()) -> Iterator[tuple]:
    if isinstance(node, float) and not math.isfinite(node):
        yield steps
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield from _not_finite(value, (*steps, key))


def _wrong_type(content: bytes, message: str) -> str:
    """Say in words what msgspec found: ``Expected `int`, got `str` - at `$.annotations[3].id```."""
    reason, _, where = message.partition(" - at `")
    steps = [int(index) if index else key for key, index in re.findall(r"\.([^.\[`]+)|\[(\d+)\]", where)]
    try:
        parsed = _excerpt(content, steps)
    except (ValueError, RecursionError):  # what comes after the wrong value is not JSON either
        return f"it is not what it should be: {message}"
    if not steps and isinstance(parsed, list):
        return (
            f"it is a list of {len(parsed)} records (results of a detector?), but an annotation file is an object with "
            "'images', 'annotations' and 'categories'"
        )
    missing = re.search(r"missing required field `(.+)`", reason)
    if missing and isinstance(parsed, dict) and not steps:
        return f"it has no {missing[1]!r} list, only {sorted(parsed)}: is it the right file?"
    expected = re.search(r"Expected `([^`]+)`( of length \d+)?", reason)
    if re.search("[<>]=", reason):
        return f"{describe_place(parsed, steps)}, not a number of 64 bits"
    if expected is None:
        return f"{describe_place(parsed, steps)}: {reason}"
    kinds = [_KINDS.get(kind.strip(), kind.strip()) for kind in expected[1].split("|") if kind.strip() != "null"]
    return f"{describe_place(parsed, steps)}, not {' or '.join(dict.fromkeys(kinds))}{expected[2] or ''}"


def _excerpt(content: bytes, steps: Sequence[str | int]) -> Any:
    """Parse no more of a file than naming a place in it takes: the whole may be gigabytes."""
    if steps and isinstance(steps[0], int):
        return {steps[0]: msgspec.json.decode(msgspec.json.decode(content, type=list[msgspec.Raw])[steps[0]])}
    if len(steps) < 2 or not isinstance(steps[1], int):
        return msgspec.json.decode(content)
    group, position = str(steps[0]), steps[1]
    parts = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    records = msgspec.json.decode(parts[group], type=list[msgspec.Raw])
    images = msgspec.json.decode(parts.get("images", b"[]"))
    return dict(images=images) | {group: {position: msgspec.json.decode(records[position])}}


def describe_place(content: Any, steps: Sequence[str | int]) -> str:
    """Name a value of an annotation file by its record and key.

    Args:
        content: The parsed file, or as much of it as the steps need.
        steps: Keys and positions that lead to the value.

    Returns:
        For instance ``'bbox' of annotation 4 of image 2 (2.png) is [1, 2, 3]``.
    """
    record, rest, name = content, list(steps), ""
    if steps and isinstance(steps[0], int):
        record = content[steps[0]]
        name = _name_record({}, "record", steps[0], record)
        rest = rest[1:]
    elif len(steps) >= 2 and isinstance(steps[1], int):
        record = content[steps[0]][steps[1]]
        name = _name_record(content, str(steps[0]), steps[1], record)
        rest = rest[2:]
    value = record
    for step in rest:
        value = value[step]
    # The whole value of the key says more than one number of it.
    key = rest[0] if rest else None
    shown = value if key is None or not isinstance(record, dict) else record[key]
    words = [repr(key) if key is not None else "", name]
    return f"{' of '.join(word for word in words if word) or 'the file'} is {shorten(shown)}"


def shorten(value: Any, length: int = 80) -> str:
    """JSON of a value, cut to a length that fits a message."""
    text = json.dumps(value, default=str)
    return text if len(text) <= length else text[: length - 4] + " ..."


def _name_record(content: dict, group: str, position: int, record: Any) -> str:
    kind = dict(images="image", annotations="annotation", categories="category").get(group, group)
    if not isinstance(record, dict):
        return f"{group}[{position}]"
    own = record.get("id", f"number {position}")
    if kind == "image":
        return name_image(own, record.get("file_name"))
    if "image_id" not in record:
        return f"{kind} {own}"
    images = content.get("images")
    records = [image for image in (images if isinstance(images, list) else ()) if isinstance(image, dict)]
    image_id = record["image_id"]
    names = [image.get("file_name") for image in records if image.get("id") == image_id]
    return f"{kind} {own} of {name_image(image_id, names[0] if names else None)}"


def name_image(image_id: Any, file_name: str | None) -> str:
    """Name an image by id and file name."""
    return f"image {image_id} ({file_name})" if file_name else f"image {image_id}"
