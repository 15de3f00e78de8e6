"""The converters as a user calls them."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "dataset_converters"


def run(monkeypatch: pytest.MonkeyPatch, tool: str, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
    runpy.run_path(str(TOOLS / tool), run_name="__main__")


def test_pascal_context_459_converts_verifies_and_finds_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for folder in ("trainval", "VOC2010/JPEGImages", "VOC2010/ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    scipy.io.savemat(tmp_path / "trainval" / "a.mat", {"LabelMap": np.array([[1, 459]], dtype=np.uint16)})
    Image.new("RGB", (2, 1)).save(tmp_path / "VOC2010" / "JPEGImages" / "a.jpg")
    (tmp_path / "VOC2010/ImageSets/Main/val.txt").write_text("a\n")

    run(monkeypatch, "pascal_context_459.py", tmp_path, "--nproc", 2)
    assert "converted PC-459 validation: 1 images, 2 of 459 classes occur" in capsys.readouterr().out
    run(monkeypatch, "pascal_context_459.py", tmp_path, "--verify")
    assert "verified PC-459 validation: 1 images" in capsys.readouterr().out

    Image.fromarray(np.array([[0, 457]], dtype=np.uint16)).save(tmp_path / "annotations_459" / "a.png")
    with pytest.raises(SystemExit, match="differs from its source"):
        run(monkeypatch, "pascal_context_459.py", tmp_path, "--verify")


def test_ade20k_847_and_coco_stuff_convert_and_verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    scene = tmp_path / "ade" / "images" / "ADE" / "validation" / "street"
    maps = tmp_path / "coco" / "stuffthingmaps" / "val2017"
    for folder in (scene, maps, tmp_path / "coco" / "val2017"):
        folder.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(scene / "a.jpg")
    Image.new("RGB", (4, 4), (2978 // 256 * 10, 2978 % 256, 0)).save(scene / "a_seg.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "coco" / "val2017" / "b.jpg")
    Image.new("L", (4, 4), 7).save(maps / "b.png")
    for step in ((), ("--verify",)):
        run(monkeypatch, "ade20k_847.py", tmp_path / "ade", tmp_path / "out", *step)
        run(monkeypatch, "coco_stuff164k.py", tmp_path / "coco", "--splits", "val2017", *step)
        printed = capsys.readouterr().out
        assert "A-847 validation: 1 images, 1 of 847 classes occur (published figures: 2000 images)" in printed
        assert "COCO-Stuff val2017: 1 images, 1 of 171 classes occur" in printed


def test_misplaced_input_ends_with_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [("ade20k_847.py", tmp_path, tmp_path / "out"), ("coco_stuff164k.py", tmp_path)]
    for tool, *arguments in [*calls, ("pascal_context_459.py", tmp_path)]:
        with pytest.raises(SystemExit) as caught:
            run(monkeypatch, tool, *arguments)
        assert str(caught.value.code).startswith(f"tools/dataset_converters/{tool}: {tmp_path}")
        assert "\n" not in str(caught.value.code)


def test_images_become_shards_that_are_indexed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "images").mkdir()
    for number in range(3):
        Image.new("RGB", (2, 1)).save(tmp_path / "images" / f"{number}.png")
    run(monkeypatch, "images_to_shards.py", "pack", tmp_path / "images", tmp_path / "out", "--images-per-shard", 2)
    assert "3 images in 2 shards" in capsys.readouterr().out
    run(monkeypatch, "images_to_shards.py", "index", tmp_path / "out/shard_{000000..000001}.tar", "--workers", 2)
    assert f"{tmp_path}/out/shards.json: 3 images in 2 shards" in capsys.readouterr().out
    for arguments, message in (
        (("https://example.org/{0..1}.tar",), "needs --out"),
        ((tmp_path / "none.tar",), "there is no shard"),
    ):
        with pytest.raises(SystemExit, match=message):
            run(monkeypatch, "images_to_shards.py", "index", *arguments)
