import json

import cv2
import numpy as np
import pytest

from densevlm_mm.datasets.panoptic_regions import PanopticRegionDataset, match_categories
from densevlm_mm.registry import DATASETS
from densevlm_mm.vocabulary import Vocabulary

CLASSES = [("cat", 1), ("sky", 0), ("dog ", 1), ("cradle", 1), ("cradle", 0)]
CATEGORIES = [dict(id=10 * i + 3, name=name.strip(), isthing=thing) for i, (name, thing) in enumerate(CLASSES)]
PIPELINE = [
    dict(type="densevlm_mm.LoadImage"),
    dict(type="densevlm_mm.ResizeLongestSide", size=64),
    dict(type="densevlm_mm.PadToSquare", size=64),
    dict(type="densevlm_mm.LoadPanopticRegions", feature_stride=8, min_area=0),
    dict(type="densevlm_mm.PackRegionInputs"),
]


@pytest.fixture
def root(tmp_path):
    """Two images of 24 x 32: left half segment 300 (a thing), right half 70000 (stuff); and one without annotation."""
    for folder in ("img", "seg"):
        (tmp_path / folder).mkdir()
    for name in ("1", "2", "3"):
        cv2.imwrite(str(tmp_path / "img" / f"{name}.jpg"), np.full((24, 32, 3), 100, np.uint8))
        ids = np.where(np.arange(32) < 16, 300, 70000) * np.ones((24, 1), int)
        png = np.stack([ids >> 16, (ids >> 8) & 255, ids & 255], -1).astype(np.uint8)  # blue, green, red
        cv2.imwrite(str(tmp_path / "seg" / f"{name}.png"), png)
    (tmp_path / "classes.json").write_text(
        json.dumps(dict(name="five", classes=[dict(name=name, isthing=thing) for name, thing in CLASSES]))
    )
    write(tmp_path)
    return tmp_path


def write(root, name="panoptic.json", **changes):
    segments = [
        dict(id=300, category_id=23, bbox=[0, 0, 16, 24], area=384, iscrowd=0),
        dict(id=70000, category_id=43, bbox=[16, 0, 16, 24], area=384, iscrowd=0),
    ]
    content = dict(
        images=[dict(id=i, file_name=f"{i}.jpg", height=24, width=32) for i in (1, 2, 3)],
        annotations=[dict(image_id=i, file_name=f"{i}.png", segments_info=segments) for i in (2, 1)],
        categories=CATEGORIES,
    )
    (root / name).write_text(json.dumps(content | changes))


def make(root, ann_file="panoptic.json", **kwargs):
    kwargs.setdefault("vocabulary", str(root / "classes.json"))
    return PanopticRegionDataset(ann_file, data_root=str(root), data_prefix=dict(img="img", seg="seg"), **kwargs)


def test_labels_are_positions_in_the_vocabulary(root):
    dataset = make(root)
    info = dataset.get_data_info(0)
    assert len(dataset) == 2
    assert info["img_id"] == 1
    assert info["seg_map_path"] == str(root / "seg" / "1.png")
    assert [(s["label"], s["is_thing"]) for s in info["segments_info"]] == [(2, True), (4, False)]
    assert info["segments_info"][1]["bbox_xyxy"] == (16, 0, 32, 24)
    assert dataset.metainfo["classes"] == ("cat", "sky", "dog ", "cradle", "cradle")
    assert dataset.metainfo["is_thing"] == (True, False, True, True, False)
    assert dataset.metainfo["vocabulary_name"] == "five"


def test_item_holds_boxes_and_masks(root):
    sample = make(root, pipeline=PIPELINE)[1]["data_samples"]
    regions = sample.gt_regions
    assert sample.img_id == 2
    assert regions.labels.tolist() == [2, 4]
    assert regions.boxes_norm_xyxy.tolist() == [[0, 0, 0.5, 0.75], [0.5, 0, 1, 0.75]]
    assert regions.masks[0].nonzero().amax(dim=0).tolist() == [5, 3]
    assert regions.masks[1].nonzero().amin(dim=0).tolist() == [0, 4]


def test_registered_with_the_runner_s_arguments(root):
    config = dict(
        type="PanopticRegionDataset",
        ann_file="panoptic.json",
        data_root=str(root),
        data_prefix=dict(img="img", seg="seg"),
        vocabulary=str(root / "classes.json"),
        lazy_init=True,
        indices=1,
    )
    dataset = DATASETS.build(config)
    dataset.full_init()
    assert len(dataset) == 1


def test_categories_match_by_order():
    vocabulary = Vocabulary.load("coco_panoptic_133")
    assert match_categories([dict(id=5, name="x", isthing=1)], small(["a"], [1]), "order", "file") == {5: 0}
    ids = np.random.default_rng(0).permutation(133)
    categories = [dict(id=int(i), name="", isthing=int(vocabulary.thing_mask[i])) for i in ids]
    assert match_categories(categories, vocabulary, "order", "file") == {i: i for i in range(133)}


def small(names, flags):
    return Vocabulary("small", tuple(names), tuple((name,) for name in names), np.array(flags, dtype=bool))


def test_categories_that_do_not_match_are_errors():
    categories = [dict(id=0, name="wall", isthing=0), dict(id=1, name="bed", isthing=1)]
    assert match_categories(categories, small(["bed", "wall", "sky"], [1, 0, 0]), "name", "file") == {0: 1, 1: 0}
    with pytest.raises(ValueError, match=r"1 categories of file are not in vocabulary 'small'.*\['bed'\]"):
        match_categories(categories, small(["bed", "wall", "sky"], [0, 0, 0]), "name", "file")
    with pytest.raises(ValueError, match="match_categories='order' would do"):
        match_categories(categories, small(["wall, rampart", "bed"], [0, 1]), "name", "file")
    with pytest.raises(ValueError, match=r"2 categories \(1 things\), vocabulary 'small' has 2 classes \(1 things\)"):
        match_categories(categories, small(["bed", "wall"], [1, 0]), "order", "file")


def test_categories_match_in_every_spelling_and_once():
    vocabulary = Vocabulary.load(
        [
            dict(name="Play_Ground", isthing=0),
            dict(name="fruit", isthing=1),
            dict(name="Fruit.", isthing=0),
            dict(name="sea, ocean", isthing=0),
        ]
    )
    categories = [
        dict(id=9, name="play ground", isthing=0),
        dict(id=2, name="FRUIT", isthing=0),
        dict(id=4, name="ocean", isthing=0),
        dict(id=1, name="fruit", isthing=1),
    ]
    assert match_categories(categories, vocabulary, "name", "file") == {9: 0, 2: 2, 4: 3, 1: 1}
    categories.append(dict(id=5, name="sea", isthing=0))
    with pytest.raises(ValueError, match=r"file: categories \['ocean', 'sea'\] are all class 'sea, ocean'"):
        match_categories(categories, vocabulary, "name", "file")


def test_malformed_files_are_errors(root):
    write(root, "no_segments.json", annotations=[dict(image_id=1, bbox=[0, 0, 1, 1])])
    with pytest.raises(ValueError, match="is this the instances file"):
        make(root, "no_segments.json")
    write(root, "category.json", categories=CATEGORIES[:2])
    with pytest.raises(
        ValueError, match=r"segment 300 of image 2 \(2\.jpg\) \(the first of 4\): 'category_id' 23 is not among"
    ):
        make(root, "category.json")
    write(root, "nothing.json", annotations=[])
    with pytest.raises(ValueError, match="no image with an annotation"):
        make(root, "nothing.json")
    (root / "captions.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match="no 'annotations' list"):
        make(root, "captions.json")


def test_missing_things_are_named(root):
    with pytest.raises(FileNotFoundError, match=r"panoptic annotation file .*none\.json"):
        make(root, "none.json")
    for name in ("1", "2"):
        (root / "seg" / f"{name}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"the first panoptic PNG .*1\.png"):
        make(root)


def test_unusable_arguments_are_errors(root):
    with pytest.raises(ValueError, match="not 'position'"):
        make(root, match_categories="position")
    with pytest.raises(ValueError, match=r"needs the folders 'img' and 'seg', but has \['img'\]"):
        PanopticRegionDataset("a.json", data_prefix=dict(img="x"))
