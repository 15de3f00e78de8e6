import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from densevlm_mm.inference import OpenVocabularyInferencer, ResultFolder, list_files


def test_images_have_records_pictures_and_names_apart(
    see: OpenVocabularyInferencer, photos: Path, tmp_path: Path
) -> None:
    for camera in ("cam1", "cam2"):
        (tmp_path / camera).mkdir()
        (tmp_path / camera / "1.jpg").write_bytes((photos / "000001.jpg").read_bytes())
    (tmp_path / "cam2" / "bad.jpg").write_text("no image")
    out = tmp_path / "cam2" / "out"
    images = list_files([str(tmp_path / "cam1"), str(tmp_path / "cam2")], str(out))
    results = ResultFolder(out, see.metainfo, 0.3)
    results.write_images(see.stream(images))
    assert results.finish() == {"predictions/num_images": 2, "predictions/num_skipped": 1}
    records = json.loads((out / "predictions.json").read_text())
    assert [Path(record["label_map"]).relative_to(out) for record in records] == [
        Path(f"label_maps/cam{n}/1.png") for n in (1, 2)
    ]
    assert sorted(path.relative_to(out).as_posix() for path in (out / "pictures").rglob("*.*")) == [
        "pictures/cam1/1.png",
        "pictures/cam2/1.png",
    ]
    prediction = see(images[0])
    assert [segment["name"] for segment in records[0]["segments"]] == prediction.names
    np.testing.assert_allclose([s["share"] for s in records[0]["segments"]], prediction.shares, atol=1e-5)
    (skipped,) = json.loads((out / "skipped.json").read_text())
    assert skipped["img_path"].endswith("bad.jpg")


def test_a_video_becomes_a_video(see: OpenVocabularyInferencer, photos: Path, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "drive.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 7, (64, 64))
    for number in (1, 2, 3):
        writer.write(cv2.imread(str(photos / f"00000{number}.jpg")))
    writer.release()
    results = ResultFolder(tmp_path / "out", see.metainfo, 0.3)
    results.write_video(str(tmp_path / "drive.mp4"), see.stream(tmp_path / "drive.mp4", batch_size=2))
    assert results.finish() == {"predictions/num_images": 3}
    video = cv2.VideoCapture(str(tmp_path / "out/videos/drive.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(7)
    assert video.get(cv2.CAP_PROP_FRAME_WIDTH) == 640
    assert sorted(path.name for path in (tmp_path / "out/videos").iterdir()) == ["drive.mp4"]
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"text\.mp4 is no video"):
        see(tmp_path / "text.mp4")
    with pytest.raises(FileNotFoundError, match=r"no video nowhere\.mp4"):
        see("nowhere.mp4")


def test_pictures_are_shown_where_that_is_asked_for(
    see: OpenVocabularyInferencer, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, float]] = []
    monkeypatch.setattr(
        "mmengine.visualization.Visualizer.show",
        lambda self, picture, win_name, wait_time: shown.append((Path(win_name).name, wait_time)),
    )
    results = ResultFolder(tmp_path, see.metainfo, 0.3, show=True, wait_time=1)
    results.write_images(see.stream(photos))
    assert shown == [(f"00000{n}.jpg", 1) for n in (1, 2, 3, 4)]
