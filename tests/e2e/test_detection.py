"""F-ViT through the tools: on a small TinyScenes world in COCO's and LVIS's formats, and at its real size."""

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch


def options_for(world: Path, kind: str, batch_size: int = 4) -> list[str]:
    """Three iterations an epoch on the small world."""
    annotations = world / f"annotations/{kind}_val.json"
    return [
        f"train_dataloader.dataset.dataset.data_root={world}",
        "train_dataloader.dataset.dataset.indices=12",
        f"train_dataloader.batch_size={batch_size}",
        "default_hooks.checkpoint.interval=1",
        "default_hooks.checkpoint.max_keep_ckpts=9",
        "default_hooks.logger.interval=1",
        *(f"{loader}.dataset.data_root={world}" for loader in ("val_dataloader", "test_dataloader")),
        *(f"{evaluator}.ann_file={annotations}" for evaluator in ("val_evaluator", "test_evaluator")),
    ]


def figures(log: str, prefix: str) -> dict[str, str]:
    """The metrics of the last evaluation in a log."""
    return dict(re.findall(rf"({prefix}/\w+): (-?[\d.]+)", log))


TINY = "configs/tiny/fvit_original.py"


@pytest.fixture(scope="module")
def trained(run_tool, tiny_world, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp("fvit")
    run_tool("train.py", TINY, "--work-dir", work_dir, "--cfg-options", *options_for(tiny_world, "instances"))
    return work_dir


def test_resumes_exactly_and_evaluates_base_and_novel_classes(
    run_tool, tiny_world, trained, name_list, tmp_path
) -> None:
    config, options = TINY, options_for(tiny_world, "instances")
    arguments = ["--resume", trained / "iter_2.pth", "--work-dir", tmp_path / "resumed"]
    resumed = run_tool("train.py", config, *arguments, "--cfg-options", *options)
    log = resumed.stdout + resumed.stderr
    assert "Epoch(train) [1][3/3]" in log
    assert "Epoch(train) [1][1/3]" not in log
    whole, part = (torch.load(path / "iter_3.pth", weights_only=True) for path in (trained, tmp_path / "resumed"))
    assert all(torch.equal(value, part["state_dict"][name]) for name, value in whole["state_dict"].items())

    flags = ["--work-dir", tmp_path, "--show-dir", tmp_path / "shown", "--out", tmp_path / "figures.json"]
    names = f"model.roi_head.bbox_head.class_embeddings.vocabulary={name_list('ov_tiny_scenes_20')}"
    tested = run_tool("test.py", config, trained / "iter_3.pth", *flags, "--cfg-options", *options, names)
    found = figures(tested.stdout + tested.stderr, "coco")
    assert {"coco/novel_ap50", "coco/base_ap50", "coco/all_ap50"} <= set(found)
    pictures = list((tmp_path / "shown").glob("*.jpg"))
    assert cv2.imread(str(pictures[0])).shape == (640, 1280, 3)  # truth and prediction, enlarged
    written = json.loads((tmp_path / "figures.json").read_text())
    assert {key: f"{written['metrics'][key]:.4f}" for key in found} == found
    assert written["evaluation"]["checkpoint"] == str(trained / "iter_3.pth")
    assert written["evaluation"]["num_images"] == len(pictures) > 1

    # Two processes, of which one evaluates an image more than the other: the same figures.
    flags = ["--work-dir", tmp_path / "two"]
    two = run_tool("test.py", config, trained / "iter_3.pth", *flags, "--cfg-options", *options, processes=2)
    assert figures(two.stdout + two.stderr, "coco") == found


@pytest.fixture
def photographs(tiny_world: Path, tmp_path: Path) -> Path:
    """Two images of one name, one that is much longer than wide, and a file that is none."""
    folder = tmp_path / "photographs"
    for camera, image in (("cam1", "000001"), ("cam2", "000002")):
        (folder / camera).mkdir(parents=True)
        shutil.copy(tiny_world / f"val/{image}.jpg", folder / camera / "1.jpg")
    cv2.imwrite(str(folder / "cam2/thin.png"), np.zeros((2, 600, 3), np.uint8))
    (folder / "._1.jpg").write_bytes(b"\0\5\26\7")  # as macOS puts it into archives
    return folder


def test_predicts_other_names_on_images_of_one_name_in_two_processes(run_tool, trained, photographs, tmp_path) -> None:
    arguments = [photographs, "--names", "boat", "fishing boat", "--out-dir", tmp_path / "out", "--score-thr", 0]
    predicted = run_tool("predict.py", TINY, trained / "iter_3.pth", *arguments, processes=2)

    records = json.loads((tmp_path / "out/predictions.json").read_text())
    names = ["cam1/1.jpg", "cam2/1.jpg", "cam2/thin.png"]
    assert [record["img_path"] for record in records] == [f"{photographs}/{name}" for name in names]
    found = [entry for record in records for entry in record["detections"]]
    assert {entry["name"] for entry in found} <= {"boat", "fishing boat"}
    assert all(entry["is_novel"] == (entry["name"] != "boat") for entry in found)
    assert all(record["detections"] for record in records[:2])
    (skipped,) = json.loads((tmp_path / "out/skipped.json").read_text())
    assert skipped["img_path"] == f"{photographs}/._1.jpg"
    pictures = [cv2.imread(str(tmp_path / f"out/pictures/cam{n}/1.jpg")) for n in (1, 2)]
    assert not (pictures[0] == pictures[1]).all()
    assert (tmp_path / "out/pictures/cam2/thin.png").is_file()

    lines = predicted.stdout.splitlines()  # of both processes: a line an image
    for start in ("cam1/1: ", "cam2/1: ", f"skipped {photographs}/._1.jpg"):
        assert any(line.startswith(start) for line in lines), predicted.stdout
    assert len(lines) < 12, predicted.stdout


def test_lvis_files_with_masks_in_two_processes(run_tool, tiny_world, tmp_path) -> None:
    config, options = "configs/tiny/fvit_lvis.py", options_for(tiny_world, "lvis", batch_size=2)
    run_tool("train.py", config, "--work-dir", tmp_path, "--cfg-options", *options, processes=2)
    tested = run_tool("test.py", config, tmp_path / "iter_3.pth", "--work-dir", tmp_path, "--cfg-options", *options)
    found = figures(tested.stdout + tested.stderr, "lvis")
    assert {f"lvis/{kind}_AP{group}" for kind in ("bbox", "segm") for group in ("", "r", "c", "f")} <= set(found)


@pytest.fixture(scope="module")
def coco_tree(tmp_path_factory, tiny_world) -> Path:
    """COCO's own layout and category names around four TinyScenes images of another shape."""
    root = tmp_path_factory.mktemp("coco")
    (root / "annotations").mkdir()
    names = json.loads((Path(__file__).parents[2] / "densevlm_mm/vocabulary/data/ov_coco_65.json").read_text())
    categories = [dict(id=i + 1, name=entry["name"]) for i, entry in enumerate(names["classes"])]
    categories += [dict(id=66 + i, name=f"unused {i}") for i in range(15)]
    for split, folder in (("train", "train2017"), ("val", "val2017")):
        (root / folder).mkdir()
        content = json.loads((tiny_world / f"annotations/instances_{split}.json").read_text())
        images = content["images"][:4]
        for image in images:
            picture = cv2.imread(str(tiny_world / split / image["file_name"]))
            cv2.imwrite(str(root / folder / image["file_name"]), cv2.resize(picture, (256, 192)))
            image.update(width=256, height=192)
        annotations = []
        for image in images:  # a car (base) and a bus (novel) in every image
            for category, box in ((3, [20.0, 30.0, 100.0, 80.0]), (6, [140.0, 60.0, 90.0, 100.0])):
                number = len(annotations) + 1
                box_area = box[2] * box[3]
                annotations.append(
                    dict(id=number, image_id=image["id"], category_id=category, bbox=box, area=box_area, iscrowd=0)
                )
        path = root / f"annotations/instances_{folder}.json"
        path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))
    return root


CONFIG = "configs/fvit/ov-coco_b16_densevlm.py"


def test_missing_data_and_weights_are_listed_before_anything_is_built(run_tool, tmp_path) -> None:
    result = run_tool("train.py", CONFIG, "--work-dir", tmp_path / "none", check=False)
    assert result.returncode != 0
    for text in ("data/coco/train2017", "weights/densevlm_eva02_b16.safetensors", "tools/export_encoder.py"):
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_real_size_trains_and_evaluates(run_tool, coco_tree, tmp_path) -> None:
    """ViT-B/16 at 640 pixels with random weights: two iterations of two images, then AP50 of four images."""
    from densevlm_mm.models.clip import build_clip

    weights = tmp_path / "random.pt"
    torch.save(build_clip("EVA02-B-16", "random").state_dict(), weights)
    options = [
        f"model.backbone.encoder.checkpoint={weights}",
        f"model.roi_head.bbox_head.class_embeddings.checkpoint={weights}",
        "model.roi_head.bbox_head.class_embeddings.templates=plain",
        f"train_dataloader.dataset.dataset.data_root={coco_tree}",
        "train_dataloader.batch_size=2",
        "train_dataloader.num_workers=1",
        *(f"{loader}.dataset.data_root={coco_tree}" for loader in ("val_dataloader", "test_dataloader")),
        *(f"{e}.ann_file={coco_tree}/annotations/instances_val2017.json" for e in ("val_evaluator", "test_evaluator")),
        "train_cfg.max_epochs=1",
        "default_hooks.logger.interval=1",
    ]
    trained = run_tool("train.py", CONFIG, "--amp", "--work-dir", tmp_path, "--cfg-options", *options)
    log = trained.stdout + trained.stderr
    assert "Epoch(train) [1][2/2]" in log
    assert {"coco/novel_ap50", "coco/base_ap50", "coco/all_ap50"} <= set(figures(log, "coco"))
