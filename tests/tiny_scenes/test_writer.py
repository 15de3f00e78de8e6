import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from densevlm_mm.tiny_scenes import SceneGenerator, generate_tiny_scenes, load_tiny_scenes
from densevlm_mm.tiny_scenes.classes import CLASS_NAMES, NOVEL_THINGS


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return generate_tiny_scenes(tmp_path_factory.mktemp("world"), num_train=6, num_val=12, seed=5)


def read_panoptic(root, split, file_name):
    rgb = cv2.imread(str(root / f"panoptic_{split}" / file_name))[..., ::-1].astype(int)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


@pytest.mark.parametrize(("split", "count"), [("train", 6), ("val", 12)])
def test_panoptic_semantic_and_scene_agree(root, split, count):
    generator = SceneGenerator(5, split, zoom_crop_share=0.4 if split == "train" else 0.0)
    content = json.loads((root / "annotations" / f"panoptic_{split}.json").read_text())
    assert len(content["images"]) == len(content["annotations"]) == count
    assert [c["name"] for c in content["categories"]] == list(CLASS_NAMES)
    for index, annotation in enumerate(content["annotations"]):
        ids = read_panoptic(root, split, annotation["file_name"])
        scene = generator.scene(index)
        np.testing.assert_array_equal(ids, scene.segment_ids)
        semantic = cv2.imread(str(root / f"semantic_{split}" / annotation["file_name"]), cv2.IMREAD_UNCHANGED)
        expected = np.full(ids.shape, 255)
        for segment in annotation["segments_info"]:
            mask = ids == segment["id"]
            rows, columns = np.nonzero(mask)
            x, y, width, height = segment["bbox"]
            assert (x, y) == (columns.min(), rows.min())
            assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
            assert segment["area"] == mask.sum()
            expected[mask] = segment["category_id"] - 1
        np.testing.assert_array_equal(semantic, expected)
        image = cv2.imread(str(root / split / content["images"][index]["file_name"]))[..., ::-1]
        assert np.abs(image.astype(int) - scene.image).mean() < 4  # JPEG


def test_instances_are_read_by_the_coco_api(root):
    coco = COCO(str(root / "annotations" / "instances_val.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == list(CLASS_NAMES[:20])
    for image_id in coco.getImgIds():
        ids = read_panoptic(root, "val", f"{image_id:06d}.png")
        masks = [coco.annToMask(a).astype(bool) for a in coco.loadAnns(coco.getAnnIds(image_id))]
        for mask, annotation in zip(masks, coco.loadAnns(coco.getAnnIds(image_id)), strict=True):
            assert len(np.unique(ids[mask])) == 1
            assert mask_api.area(coco.annToRLE(annotation)) == annotation["area"] == (ids == ids[mask][0]).sum()


def test_lvis_file_is_read_by_the_lvis_api(root):
    from lvis import LVIS

    lvis = LVIS(str(root / "annotations" / "lvis_val.json"))
    categories = list(lvis.cats.values())
    assert [c["name"] for c in categories] == list(CLASS_NAMES[:20])
    assert {c["name"] for c in categories if c["frequency"] == "r"} == set(NOVEL_THINGS)
    assert {c["frequency"] for c in categories} == {"r", "c", "f"}
    for image_id, image in lvis.imgs.items():
        annotations = [a for a in lvis.anns.values() if a["image_id"] == image_id]
        present = {a["category_id"] for a in annotations}
        assert set(image["neg_category_ids"]) == set(range(1, 21)) - present
        assert (root / image["coco_url"]).is_file()
        for annotation in annotations:
            assert lvis.ann_to_mask(annotation).sum() == annotation["area"]


def test_captions_mention_classes_of_their_image(root):
    content = json.loads((root / "annotations" / "captions_val.json").read_text())
    panoptic = json.loads((root / "annotations" / "panoptic_val.json").read_text())
    names = {
        a["image_id"]: {CLASS_NAMES[s["category_id"] - 1] for s in a["segments_info"]} for a in panoptic["annotations"]
    }
    assert {a["image_id"] for a in content["annotations"]} == set(names)
    for annotation in content["annotations"]:
        mentioned = set(annotation["caption"].replace(",", "").split()) & set(CLASS_NAMES)
        assert mentioned
        assert mentioned <= names[annotation["image_id"]]


def test_same_arguments_write_the_same_files(root, tmp_path):
    generate_tiny_scenes(tmp_path, num_train=2, num_val=12, seed=5)
    for name in ("annotations/captions_val.json", "annotations/instances_val.json", "val/000003.jpg"):
        assert (tmp_path / name).read_bytes() == (root / name).read_bytes()
    assert (tmp_path / "train" / "000002.jpg").read_bytes() == (root / "train" / "000002.jpg").read_bytes()


def test_splits_are_data(root):
    splits = json.loads((root / "annotations" / "splits.json").read_text())
    assert splits["novel_things"] == list(NOVEL_THINGS)
    assert len(splits["seen_classes"]) + len(splits["held_out_classes"]) == 32


def test_loading_gives_back_images_segments_and_labels(root):
    data = load_tiny_scenes(root, "val")
    scene = SceneGenerator(5, "val").scene(4)
    assert data.images.shape == (12, 64, 64, 3)
    np.testing.assert_array_equal(data.segment_ids[4], scene.segment_ids)
    assert data.segment_labels[4] == scene.segment_labels


def test_missing_world_and_bad_arguments_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"panoptic_val.json is missing; make it with tools"):
        load_tiny_scenes(tmp_path, "val")
    with pytest.raises(ValueError, match="num_train is -1"):
        generate_tiny_scenes(tmp_path, num_train=-1)
    with pytest.raises(ValueError, match="p_stuff is 2"):
        generate_tiny_scenes(tmp_path, p_stuff=2)
