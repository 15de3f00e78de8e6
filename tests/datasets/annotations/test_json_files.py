import pytest

from densevlm_mm.datasets.annotations.json_files import read_lists


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "no 'images' list, only list"),
        ('{"annotations": []}', r"no 'images' list, only \['annotations'\]"),
        ('{"images": {}}', "no 'images' list"),
    ],
)
def test_wrong_file_is_named(tmp_path, text, message):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_lists(str(path), "image source", ["images"])
    assert str(path) in str(error.value)


def test_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match=r"image source nowhere/a\.json does not exist"):
        read_lists("nowhere/a.json", "image source", ["images"])
