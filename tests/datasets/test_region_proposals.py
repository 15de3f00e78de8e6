import json

import cv2
import numpy as np
import pytest
import torch

from densevlm_mm.datasets import RegionProposalDataset, SampleIndex, SeededDataset

PIPELINE = [
    dict(type="LoadImage"),
    dict(type="ResizeLongestSide", size=32),
    dict(type="ProposalRegions", max_regions=3),
    dict(type="PadToSquare", size=32),
    dict(type="PackRegionInputs"),
]


@pytest.fixture
def root(tmp_path):
    """Three images of 64 x 48; the first has six boxes, the second one, the third none."""
    (tmp_path / "images").mkdir()
    images = []
    for i in range(3):
        cv2.imwrite(str(tmp_path / "images" / f"{i}.jpg"), np.full((48, 64, 3), 40 * i, np.uint8))
        images.append(dict(id=10 + i, file_name=f"{i}.jpg", height=48, width=64))
    boxes = [(10, [4 * i, 2 * i, 16, 24]) for i in range(6)] + [(11, [60, 40, 10, 10])]
    annotations = [dict(image_id=image, bbox=box, category_id=2 - i % 2) for i, (image, box) in enumerate(boxes)]
    categories = [dict(id=1, name="sea"), dict(id=2, name="cow")]
    (tmp_path / "images.json").write_text(json.dumps(dict(images=images)))
    (tmp_path / "regions.json").write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories))
    )
    return tmp_path


def make(root, source="images.json", region_file="regions.json", **kwargs):
    kwargs.setdefault("data_prefix", dict(img="images"))
    kwargs.setdefault("pipeline", PIPELINE)
    return RegionProposalDataset(source, region_file, data_root=str(root), **kwargs)


def test_boxes_are_fractions_of_the_padded_canvas_and_clipped(root):
    sample = make(root)[1]["data_samples"]
    # 60, 40 to 70, 50 in 64 x 48, clipped; the image takes the upper three quarters of the canvas.
    expected = torch.tensor([[60 / 64, 40 / 48 * 0.75, 1.0, 0.75]])
    torch.testing.assert_close(sample.regions.boxes_norm_xyxy, expected)
    assert sample.regions.cell_ids.tolist() == [0]
    assert sample.regions.category_labels.tolist() == [1]


def test_images_without_regions_are_left_out(root):
    dataset = make(root)
    assert [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))] == [10, 11]
    assert dataset.metainfo["classes"] == ("sea", "cow")


def test_the_draw_depends_on_seed_epoch_and_image_alone(root):
    datasets = [SeededDataset(make(root)) for _ in range(2)]

    def ids(epoch, seed=0, dataset=datasets[0]):
        return dataset[SampleIndex(0, epoch, seed)]["data_samples"].regions.cell_ids.tolist()

    assert ids(0) == ids(0, dataset=datasets[1]) == ids(0)
    assert len(set(ids(0))) == 3
    assert ids(0) == sorted(ids(0))
    assert len({tuple(ids(epoch)) for epoch in range(6)}) > 1
    assert len({tuple(ids(0, seed)) for seed in range(6)}) > 1


def test_a_folder_finds_its_regions_by_file_name(root):
    dataset = make(root, source="images", data_prefix=None)
    assert [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))] == ["0.jpg", "1.jpg"]
    assert dataset[0]["data_samples"].regions.boxes_norm_xyxy.shape == (3, 4)


def test_a_region_file_of_other_images_is_an_error(root):
    other = [dict(image_id=99, bbox=[0, 0, 5, 5])]
    (root / "other.json").write_text(json.dumps(other))
    with pytest.raises(ValueError, match=r"called 10 .* those with regions 99"):
        make(root, region_file="other.json")
    renamed = json.loads((root / "regions.json").read_text())
    renamed["images"][0]["file_name"] = "cat.jpg"
    (root / "renamed.json").write_text(json.dumps(renamed))
    with pytest.raises(ValueError, match=r"0\.jpg .* but cat\.jpg"):
        make(root, region_file="renamed.json")


def test_a_box_outside_its_image_is_an_error(root):
    (root / "outside.json").write_text(json.dumps([dict(image_id=10, bbox=[70, 0, 5, 5])]))
    with pytest.raises(ValueError, match=r"70\.0, 0\.0, 75\.0, 5\.0.*0\.jpg, which is 64 x 48"):
        make(root, region_file="outside.json")[0]


def test_wrong_arguments_are_named(root):
    with pytest.raises(ValueError, match="min_size"):
        make(root, min_size=-1)
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        make(root, region_file="none.json")
