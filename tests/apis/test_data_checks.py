"""What is wrong with an experiment's data is said before anything is built, for our data sets and for stock ones."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope
from PIL import Image

import densevlm_mm.datasets.annotations.instances as instances
import densevlm_mm.detection
import densevlm_mm.segmentation  # noqa: F401
from densevlm_mm.apis.data_checks import check_data

CLASSES = ("car", "ball")


def save_image(path: Path, height: int = 48, width: int = 64, orientation: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(path, exif=exif)


def content() -> dict:
    return dict(
        images=[
            dict(id=n, file_name=f"{n}.png", height=48, width=64, neg_category_ids=[], not_exhaustive_category_ids=[])
            for n in (1, 2, 3)
        ],
        annotations=[
            dict(
                id=n,
                image_id=n,
                category_id=n % 2 + 1,
                bbox=[8, 9, 20, 20],
                area=400,
                iscrowd=0,
                segmentation=[[8, 9, 28, 9, 28, 29, 8, 29]],
            )
            for n in (1, 2, 3)
        ],
        categories=[dict(id=1, name="car", frequency="f"), dict(id=2, name="ball", frequency="c")],
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        save_image(tmp_path / "img" / f"{number}.png")
    (tmp_path / "ann.json").write_text(json.dumps(content()))
    return tmp_path


def spoil(root: Path, change: Callable[[dict], Any]) -> None:
    data = content()
    change(data)
    (root / "ann.json").write_text(json.dumps(data))


def drop(key: str) -> Callable[[dict], Any]:
    return lambda data: [annotation.pop(key) for annotation in data["annotations"]]


def detection(root: Path, dataset: str, evaluator: str, **options: Any) -> Config:
    load = options.pop("load", "densevlm_mm.LoadImage")
    split = dict(classes=CLASSES, base_classes=CLASSES[:1], novel_classes=CLASSES[1:])
    node = dict(
        type=dataset,
        data_root=str(root),
        ann_file="ann.json",
        data_prefix=dict(img="img"),
        metainfo=split,
        pipeline=[dict(type=load), dict(type="LoadAnnotations", with_bbox=True, **options.pop("annotations", {}))],
        **({} if "Coco" in dataset and "OV" not in dataset else dict(drop_novel=False)),
    )
    metric = dict(type=evaluator, ann_file=str(root / "ann.json"), **options)
    wrapped = dict(type="densevlm_mm.SeededDataset", dataset=node)
    return Config(
        dict(default_scope="mmdet", train_dataloader=dict(dataset=wrapped), val_evaluator=metric, val_dataloader=None)
    )


OURS = ("OVCocoDataset", "OVCocoAP50Metric")
STOCK = ("CocoDataset", "CocoMetric")


@pytest.mark.parametrize("kinds", [OURS, STOCK])
def test_good_data_pass(root: Path, kinds: tuple[str, str]) -> None:
    check_data(detection(root, *kinds), "train")


def test_a_file_is_read_once_for_check_data_set_and_metric(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = []
    original = instances.read_json

    def count(path: str, *args: Any) -> Any:
        reads.append(path)
        return original(path, *args)

    monkeypatch.setattr(instances, "read_json", count)
    cfg = detection(root, *OURS)
    check_data(cfg, "train")
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == 3
    assert len(reads) == 1
    with DefaultScope.overwrite_default_scope("mmdet"):  # handed over once: another data set reads for itself
        DATASETS.build(cfg.train_dataloader.dataset)
    assert len(reads) == 2


def test_a_file_that_was_written_again_is_read_again(root: Path) -> None:
    cfg = detection(root, *OURS)
    check_data(cfg, "train")
    spoil(root, lambda data: data["annotations"].pop())
    with DefaultScope.overwrite_default_scope("mmdet"):
        assert len(DATASETS.build(cfg.train_dataloader.dataset)) == 2


@pytest.mark.parametrize("kinds", [OURS, STOCK])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["annotations"][2].update(id=1), "'id' is that of another annotation"),
        (lambda data: data["annotations"][1].pop("bbox"), r"annotation 2 of image 2 \(2\.png\): 'bbox' is missing"),
        (lambda data: data["images"][0].update(file_name="../../x.png"), "leads out of its folder"),
        (lambda data: data["images"][0].update(file_name="9.png"), r"1 of 3 files do not exist: .*img/9\.png"),
        (lambda data: data["images"][0].update(height=64, width=48), r"1\.png.* is annotated as 48 x 64"),
    ],
)
def test_faults_are_named_for_ours_and_stock(
    root: Path, kinds: tuple[str, str], change: Callable[[dict], Any], message: str
) -> None:
    spoil(root, change)
    with pytest.raises(ValueError, match=message):
        check_data(detection(root, *kinds), "train")


def test_what_stock_readers_cannot_do_without_names_the_ones_that_can(root: Path) -> None:
    spoil(root, drop("area"))
    check_data(detection(root, *OURS), "train")
    with pytest.raises(ValueError, match=r"3 of 3 annotations have no 'area', which mmdet's CocoDataset needs"):
        check_data(detection(root, *STOCK), "train")
    spoil(root, drop("iscrowd"))
    with pytest.raises(ValueError, match=r"no 'iscrowd', which mmdet's CocoMetric needs.*ClassOrderCocoMetric"):
        check_data(detection(root, *STOCK), "train")


def test_masks_must_be_there_where_they_are_loaded_or_scored(root: Path) -> None:
    spoil(root, lambda data: data["annotations"][1].pop("segmentation"))
    check_data(detection(root, *OURS), "train")
    for options in (dict(annotations=dict(with_mask=True)), dict(metric="segm"), dict(metric=["bbox", "segm"])):
        for kinds in (OURS, STOCK):
            with pytest.raises(ValueError, match=r"1 of 3 annotations have no 'segmentation'.*annotation 2 of image 2"):
                check_data(detection(root, *kinds, **dict(options)), "train")


@pytest.mark.parametrize("kinds", [("OVLVISDataset", "OVLVISMetric"), ("mmdet.LVISV1Dataset", "LVISMetric")])
def test_lvis_files(root: Path, kinds: tuple[str, str]) -> None:
    cfg = detection(root, *kinds)
    if "OV" in kinds[0]:
        check_data(cfg, "train")
    else:
        cfg.train_dataloader.dataset.dataset.pop("drop_novel")
        with pytest.raises(
            ValueError, match="mmdet's LVISV1Dataset needs 'coco_url' of every image: use OVLVISDataset"
        ):
            check_data(cfg, "train")


def test_turned_images_are_refused_for_the_loader_that_would_turn_them(root: Path) -> None:
    """[exif_detection]"""
    for number in (1, 2, 3):
        save_image(root / "img" / f"{number}.png", orientation=6)
    check_data(detection(root, *OURS), "train")
    with pytest.raises(ValueError, match=r"annotated as stored .64 x 48 .*use dict\(type='densevlm_mm\.LoadImage'\)"):
        check_data(detection(root, *STOCK, load="LoadImageFromFile"), "train")
    save_image(root / "img" / "1.png", orientation=3)
    for load in ("LoadImageFromFile", "densevlm_mm.LoadImage"):
        with pytest.raises(ValueError, match="EXIF orientation 3"):
            check_data(detection(root, *STOCK, load=load), "train")


def test_panoptic_files_and_their_pngs(root: Path) -> None:
    def write(**changes: Any) -> None:
        segments = [dict(id=7, category_id=1, bbox=[0, 0, 9, 9], iscrowd=0) | changes]
        data = content() | dict(
            annotations=[dict(image_id=n, file_name=f"{n}.png", segments_info=segments) for n in (1, 2)],
            categories=[dict(id=1, name="cow", isthing=1)],
        )
        (root / "ann.json").write_text(json.dumps(data))

    node = dict(type="PanopticRegionDataset", data_root=str(root), ann_file="ann.json", pipeline=[])
    cfg = Config(dict(test_dataloader=dict(dataset=node | dict(data_prefix=dict(img="img", seg="seg")))))
    write()
    with pytest.raises(ValueError, match=r"2 of 2 files do not exist: .*seg/1\.png"):
        check_data(cfg, "test")
    for number in (1, 2):
        save_image(root / "seg" / f"{number}.png")
    check_data(cfg, "test")
    write(category_id=2)
    with pytest.raises(ValueError, match="'category_id' 2 is not among"):
        check_data(cfg, "test")


def segmentation(root: Path, **options: Any) -> Config:
    node = dict(
        type="BaseSegDataset",
        data_root=str(root),
        data_prefix=dict(img_path="img", seg_map_path="labels"),
        metainfo=dict(classes=CLASSES),
        img_suffix=".png",
        seg_map_suffix=".png",
        pipeline=[],
    )
    return Config(dict(default_scope="mmseg", test_dataloader=dict(dataset=node | options)))


@pytest.fixture
def labels(root: Path) -> Callable[..., None]:
    (root / "labels").mkdir()

    def write(number: int, value: Any = 1, mode: str = "L", size: tuple[int, int] = (64, 48)) -> None:
        Image.new(mode, size, value).save(root / "labels" / f"{number}.png")

    for number in (1, 2, 3):
        write(number)
    return write


@pytest.mark.parametrize("kind", ["BaseSegDataset", "LabelMapDataset"])
def test_label_maps_are_looked_at(root: Path, labels: Callable[..., None], kind: str) -> None:
    """[rgb_labels] and its kin."""
    cfg = segmentation(root, type=kind)
    check_data(cfg, "test")
    for change, message in (
        (dict(value=255), None),
        (dict(mode="P"), None),
        (dict(mode="I;16"), None),
        (dict(mode="RGB", value=(1, 1, 1)), r"labels/2\.png has 3 channels .mode RGB.*They are equal, so save one"),
        (dict(mode="RGB", value=(1, 2, 1)), "is it a picture"),
        (dict(mode="RGBA", value=(1, 1, 1, 9)), "has 4 channels"),
        (dict(mode="LA", value=(1, 9)), "has 2 channels"),
        (dict(size=(48, 64)), r"labels/2\.png is 48 x 64 .*2\.png 64 x 48"),
        (dict(value=2), r"labels/2\.png has labels that are neither a class \(0 to 1\) nor the ignored label 255: 2 "),
    ):
        labels(2, **change)
        if message is None:
            check_data(cfg, "test")
        else:
            with pytest.raises(ValueError, match=message):
                check_data(cfg, "test")
    (root / "labels" / "2.png").unlink()
    with pytest.raises(ValueError, match=r"1 of the 3 images in .*img have no label map: .*labels/2\.png"):
        check_data(cfg, "test")


def test_images_of_another_suffix_are_named(root: Path, labels: Callable[..., None]) -> None:
    with pytest.raises(
        ValueError, match=r"no image ending with '\.jpg' \(img_suffix\); it has files ending with \.png"
    ):
        check_data(segmentation(root, img_suffix=".jpg"), "test")


def test_names_in_a_list_may_not_lead_out_of_the_folder(root: Path, labels: Callable[..., None]) -> None:
    (root / "list.txt").write_text("1\n../labels/2\n")
    with pytest.raises(ValueError, match=r"list\.txt: file name '\.\./labels/2\.png' leads out"):
        check_data(segmentation(root, ann_file="list.txt"), "test")
