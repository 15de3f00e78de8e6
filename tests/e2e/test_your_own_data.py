"""docs/your_own_data.md: its configs are written as they stand there, and every command is run.

Comments ``<!-- in the test: ... -->`` before a block say what is replaced: ``A -> B`` in a config, a small base for the
real one; anything else is added to the commands of ``tools/train.py`` and ``tools/test.py``.
"""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import densevlm_mm.detection
import densevlm_mm.segmentation  # noqa: F401  (once for all commands, which run in copies of this process)
from tests.fixtures.page_commands import run_command

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/your_own_data.md").read_text()
BLOCKS = re.findall(r"(?:<!-- in the test: (.*?) -->\n)?```(python|bash)\n(.*?)```", PAGE, flags=re.DOTALL)
COMMANDS = [
    (command, added if "tools/t" in command else "")
    for added, language, block in BLOCKS
    if language == "bash"
    for command in block.splitlines()
]
# The data sets of the small configs have options that those of the real ones have not.
SMALL = """
_base_ = 'configs/tiny/{name}_original.py'
train_dataloader = dict(dataset=dict(dataset=dict(
    _delete_=True, type='mmseg.COCOStuff164kDataset', pipeline={{{{_base_.train_pipeline}}}})))
val_dataloader = dict(dataset=dict(
    _delete_=True, type='ADE20K150Dataset', test_mode=True, pipeline={{{{_base_.test_pipeline}}}}))
test_dataloader = val_dataloader
"""
NUM_IMAGES = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny_world: Path) -> Path:
    """The page's configs and data, beside the repository's folders."""
    root = tmp_path_factory.mktemp("your_own_data")
    for name in ("configs", "densevlm_mm", "tools"):
        (root / name).symlink_to(ROOT / name)
    for replaced, language, block in BLOCKS:
        if language == "python":
            old, _, new = replaced.partition(" -> ")
            assert old in block
            (root / re.match(r"# (\w+\.py)\n", block)[1]).write_text(block.replace(old, new) if old else block)
    for name in ("cat_seg", "san"):
        (root / f"small_{name}.py").write_text(SMALL.format(name=name))
    images = sorted((tiny_world / "train").glob("*.jpg"))[:NUM_IMAGES]
    write_photos(root / "data/photos", images)
    write_streets(root / "data/streets", images)
    write_camvid(root / "data/CamVid", images)
    return root


def write_photos(folder: Path, images: list[Path]) -> None:
    (folder / "may").mkdir(parents=True)
    for image in images:
        shutil.copy(image, folder / "may")


def write_streets(folder: Path, images: list[Path]) -> None:
    """A car, a bike, a bus and sky in each image, for LabelMe and for COCO."""
    boxes = dict(
        car=(4, 30, 24, 50), bike=(30, 30, 50, 54), bus=(36, 4, 60, 26), sky=(0, 0, 64, 20), road=(0, 54, 64, 64)
    )
    (folder / "images").mkdir(parents=True)
    for image in images:
        shutil.copy(image, folder / "images")
        shapes = [
            dict(label=name, points=[box[:2], box[2:]], shape_type="rectangle", group_id=None)
            for name, box in boxes.items()
        ]
        content = dict(version="5", imagePath=image.name, imageHeight=64, imageWidth=64, shapes=shapes)
        (folder / "images" / f"{image.stem}.json").write_text(json.dumps(content))
    categories = [dict(id=number, name=name) for number, name in enumerate(boxes)]
    annotations = [
        dict(image_id=image, category_id=number, bbox=[left, top, right - left, bottom - top])
        for image in range(NUM_IMAGES)
        for number, (left, top, right, bottom) in enumerate(boxes.values())
    ]
    listed = [dict(id=number, file_name=image.name, height=64, width=64) for number, image in enumerate(images)]
    numbered = [dict(id=number, **each) for number, each in enumerate(annotations)]
    for split in ("train", "val"):
        content = dict(images=listed, annotations=numbered, categories=categories)
        (folder / f"instances_{split}.json").write_text(json.dumps(content))


def write_camvid(folder: Path, images: list[Path]) -> None:
    """Stripes of the eleven classes and of what is ignored."""
    labels = np.repeat(np.arange(12, dtype=np.uint8), 6)[:64, None].repeat(64, axis=1)
    for number, image in enumerate(images):
        split = "train" if number < NUM_IMAGES - 2 else "val"
        for path in (folder / split, folder / f"{split}annot"):
            path.mkdir(parents=True, exist_ok=True)
        Image.open(image).save(folder / split / f"{number}.png")
        Image.fromarray(labels).save(folder / f"{split}annot" / f"{number}.png")


def test_every_command_of_the_page_runs(folder: Path, tmp_path: Path) -> None:
    logs = {}
    for number, (command, added) in enumerate(COMMANDS):
        log = tmp_path / f"{number}.log"
        run_command(f"{command} {added}", folder, log)
        logs[" ".join(command.split()[1:3])] = log.read_text()
    assert "warm-up of 90 iterations is longer than the run of 2" in logs["tools/train.py photos.py"]
    assert "region classification (mean accuracy" in logs["tools/test.py streets_regions.py"]
    assert len((folder / "streets.csv").read_text().splitlines()) == 1 + 5
    assert "coco/novel_ap50" in logs["tools/test.py streets_fvit.py"]
    assert re.search(r"'lr': 7.5e-0?4|'lr': 0.00075", logs["tools/train.py streets_fine_tuned.py"])
    for model in ("cat_seg", "san"):
        log = logs[f"tools/test.py camvid_{model}.py"]
        assert "mIoU_present" in log
        assert "sign symbol" in log
