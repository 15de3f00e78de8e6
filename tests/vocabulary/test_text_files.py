from pathlib import Path

import pytest

from densevlm_mm.vocabulary.text_files import decode_text, parse_lines, read_json, read_lines

NAMES = "boat\n自行车\ncafé\n"


def texts(content: bytes) -> list[str]:
    return parse_lines(content, "list names.txt")


@pytest.mark.parametrize(
    "content",
    [
        NAMES.encode(),
        NAMES.encode("utf-8-sig"),
        NAMES.replace("\n", "\r\n").encode(),
        NAMES.replace("\n", "\r").encode(),
        f"# mine\n\n  {NAMES}\t\n#boat\n".encode(),
        NAMES.rstrip("\n").encode(),
    ],
)
def test_the_same_list_in_every_writing(content: bytes) -> None:
    assert texts(content) == ["boat", "自行车", "café"]


def test_lines_end_where_editors_end_them() -> None:
    assert texts("a\u2028b\x0bc\n".encode()) == ["a\u2028b\x0bc"]


def test_an_entry_may_begin_with_the_sign_of_comments() -> None:
    assert texts(b"\\#1.jpg\n# 2.jpg\n") == ["#1.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (NAMES.encode("utf-16"), r"names\.txt is UTF-16, .*iconv -f UTF-16 -t UTF-8"),
        (NAMES.encode("utf-32"), "is UTF-32,"),
        ("boat\n".encode("utf-16-le"), "UTF-16 or UTF-32 without a byte order mark"),
        ("boat\n".encode("utf-16-be"), "UTF-16 or UTF-32 without a byte order mark"),
        ("boat\ncafé\n".encode("latin-1"), r"not UTF-8 \(byte 0xE9 in line 2\).*LATIN1"),
        (b"boat boat boat\0\n", "no text file"),
    ],
)
def test_other_encodings_are_refused_with_the_file_and_the_fix(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=rf"list names\.txt|{message}") as error:
        decode_text(content, "list names.txt")
    assert error.match(message)


def test_json_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_bytes('{"name": "à", "classes": [{"a": 1}]}'.encode("utf-8-sig"))
    assert read_json(path, "vocabulary file") == {"name": "à", "classes": [{"a": 1}]}
    for content, message in (
        (b'{"classes": [{"name": "a", "name": "b"}]}', "the key 'name' stands twice"),
        (b'{"classes": ', "is not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        ('{"name": "a"}'.encode("utf-16"), "is UTF-16"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"vocabulary file .*own\.json.*{message}"):
            read_json(path, "vocabulary file")


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"image list .*none\.txt does not exist"):
        read_lines(tmp_path / "none.txt", "image list")
    with pytest.raises(FileNotFoundError, match="is a folder"):
        read_json(tmp_path, "vocabulary file")
