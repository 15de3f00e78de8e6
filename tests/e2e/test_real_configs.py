"""configs/densevlm on a small tree in COCO's own layout, with small random models."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from densevlm_mm.vocabulary import Vocabulary

CONFIG = "configs/densevlm/pretrain_coco.py"


@pytest.fixture(scope="module")
def coco_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six training images without annotations, three validation images with panoptic ones."""
    root, rng = tmp_path_factory.mktemp("coco"), np.random.default_rng(0)
    for folder in ("train2017", "val2017", "annotations/panoptic_val2017"):
        (root / folder).mkdir(parents=True)

    def write_image(folder: str, number: int, height: int, width: int) -> dict:
        name = f"{number:012d}.jpg"
        cv2.imwrite(str(root / folder / name), rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
        return dict(id=number, file_name=name, height=height, width=width)

    sizes = [(48, 64), (64, 48), (40, 90), (64, 64), (33, 47), (80, 60)]
    for i, size in enumerate(sizes):
        write_image("train2017", i + 1, *size)

    vocabulary = Vocabulary.load("coco_panoptic_133")
    categories = [
        dict(id=i + 1, name=name, isthing=int(thing))
        for i, (name, thing) in enumerate(zip(vocabulary.classes, vocabulary.thing_mask, strict=True))
    ]
    images, annotations = [], []
    for i in range(3):
        image = write_image("val2017", 100 + i, 60, 80)
        ids = np.ones((60, 80), np.int64)
        ids[20:50, 10 + 5 * i : 60] = 2
        png = np.stack([ids // 65536, ids // 256 % 256, ids % 256], axis=-1).astype(np.uint8)  # BGR for cv2
        name = f"{image['id']:012d}.png"
        cv2.imwrite(str(root / "annotations/panoptic_val2017" / name), png)
        segments = [
            dict(id=1, category_id=100 + i, bbox=[0, 0, 80, 60], area=int((ids == 1).sum()), iscrowd=0),
            dict(id=2, category_id=1 + i, bbox=[10 + 5 * i, 20, 50 - 5 * i, 30], area=int((ids == 2).sum()), iscrowd=0),
        ]
        images.append(image)
        annotations.append(dict(image_id=image["id"], file_name=name, segments_info=segments))
    panoptic = dict(images=images, annotations=annotations, categories=categories)
    (root / "annotations/panoptic_val2017.json").write_text(json.dumps(panoptic))
    return root


@pytest.fixture(scope="module")
def options(coco_tree: Path) -> list[str]:
    loaders = ("val_dataloader", "test_dataloader")
    return [
        "model.encoder.model_name=TinyScenes-S",
        "model.encoder.checkpoint=random",
        "model.class_embeddings.templates=plain",
        "model.test_class_embeddings.templates=plain",
        "model.loss.threshold=0.0",
        "default_hooks.teacher.teacher.model_name=TinyScenes-T",
        "default_hooks.teacher.teacher.checkpoint=random",
        "default_hooks.teacher.input_size=64",
        "default_hooks.checkpoint.interval=1",
        "default_hooks.logger.interval=1",
        "train_cfg.max_epochs=2",
        f"train_dataloader.dataset.dataset.data_root={coco_tree}",
        "train_dataloader.dataset.dataset.pipeline.1.size=64",
        "train_dataloader.dataset.dataset.pipeline.3.size=64",
        "train_dataloader.batch_size=2",
        "train_dataloader.num_workers=1",
        *(f"{loader}.dataset.data_root={coco_tree}" for loader in loaders),
        *(f"{loader}.dataset.pipeline.1.size=64" for loader in loaders),
        *(f"{loader}.dataset.pipeline.2.size=64" for loader in loaders),
        *(f"{loader}.dataset.pipeline.3.feature_stride=8" for loader in loaders),
        *(f"{loader}.num_workers=1" for loader in loaders),
    ]


def test_trains_evaluates_resumes(run_tool, options, tmp_path) -> None:
    arguments = [CONFIG, "--work-dir", tmp_path]
    first = run_tool("train.py", *arguments, "--cfg-options", *options, "train_cfg.max_epochs=1")
    assert re.search(r"Epoch\(val\) \[1\]\[1/1\].*region/masks_s_top1", first.stdout + first.stderr)
    second = run_tool("train.py", *arguments, "--resume", "--cfg-options", *options)
    log = second.stdout + second.stderr
    assert "resumed epoch: 0, iter: 3" in log
    assert "Epoch(train) [2][3/3]" in log
    assert "Epoch(train) [1]" not in log
    tested = run_tool("test.py", CONFIG, tmp_path / "iter_6.pth", "--work-dir", tmp_path, "--cfg-options", *options)
    assert "region classification" in tested.stdout + tested.stderr


def test_missing_data_and_weights_are_listed_before_anything_is_built(run_tool, tmp_path) -> None:
    result = run_tool("train.py", CONFIG, "--work-dir", tmp_path / "none", check=False)
    assert result.returncode != 0
    for text in (
        "data/coco/train2017",
        "zips/train2017.zip",
        "panoptic_annotations_trainval2017.zip",
        "weights/EVA02_CLIP_B_psz16_s8B.pt",
        "default_hooks.teacher.teacher.checkpoint",
        "make demo",
    ):
        assert text in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "none").exists()
