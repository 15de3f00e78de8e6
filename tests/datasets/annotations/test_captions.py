import json
from pathlib import Path

import pytest

from densevlm_mm.datasets.annotations.captions import load_captions


def write(path: Path, images: list, annotations: list) -> Path:
    path.write_text(json.dumps(dict(images=images, annotations=annotations)))
    return path


def test_captions_are_gathered_by_image(tmp_path) -> None:
    (tmp_path / "a.jpg").touch()
    images = [dict(id=7, file_name="a.jpg"), dict(id=3, file_name="b.jpg"), dict(id=4, file_name="c.jpg")]
    texts = [(3, "one"), (7, " two "), (3, "three"), (4, " ")]
    annotations = [dict(image_id=image, caption=text) for image, text in texts]
    found = load_captions(write(tmp_path / "x.json", images, annotations), tmp_path)
    assert [(Path(image.path).name, image.captions, image.img_id) for image in found] == [
        ("a.jpg", ("two",), 7),
        ("b.jpg", ("one", "three"), 3),
    ]
    (tmp_path / "a.jpg").unlink()
    assert [image.path for image in load_captions(tmp_path / "x.json")] == ["a.jpg", "b.jpg"]


def test_malformed_files_are_refused(tmp_path) -> None:
    image = [dict(id=1, file_name="a.jpg")]
    with pytest.raises(ValueError, match="image 2 has a caption but is not among"):
        load_captions(write(tmp_path / "x.json", image, [dict(image_id=2, caption="a")]), tmp_path)
    for wrong in (dict(bbox=[]), dict(caption=None)):
        with pytest.raises(ValueError, match=r"x\.json: .*annotation.* of image 1 \(a\.jpg\) is"):
            load_captions(write(tmp_path / "x.json", image, [dict(image_id=1, **wrong)]), tmp_path)
    with pytest.raises(ValueError, match=r"has no caption$"):
        load_captions(write(tmp_path / "x.json", image, []), tmp_path)
    with pytest.raises(FileNotFoundError, match=r"a\.jpg"):
        load_captions(write(tmp_path / "x.json", image, [dict(image_id=1, caption="a")]), tmp_path)
