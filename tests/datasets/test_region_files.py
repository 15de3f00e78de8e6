import json

import numpy as np
import pytest

from densevlm_mm.datasets.region_files import load_region_file

CATEGORIES = [dict(id=7, name="dog", isthing=1), dict(id=3, name="sky", isthing=0)]


def write(path, content):
    path.write_text(json.dumps(content))
    return str(path)


def region(image_id=1, bbox=(2, 3, 10, 20), **kwargs):
    return dict(image_id=image_id, bbox=list(bbox), **kwargs)


def test_boxes_become_corners_and_labels_positions_in_the_order_of_ids(tmp_path):
    annotations = [region(category_id=7), region(bbox=(0, 0, 5, 5), category_id=3), region(2, category_id=3)]
    path = write(tmp_path / "regions.json", dict(images=[], annotations=annotations, categories=CATEGORIES))
    found = load_region_file(path)
    assert found.classes == ("sky", "dog")
    assert found.is_thing == (False, True)
    np.testing.assert_array_equal(found.regions[1].boxes_xyxy, [[2, 3, 12, 23], [0, 0, 5, 5]])
    np.testing.assert_array_equal(found.regions[1].category_labels, [1, 0])
    assert set(found.regions) == {1, 2}


def test_a_list_of_results_has_no_classes(tmp_path):
    found = load_region_file(write(tmp_path / "results.json", [region(score=0.5, category_id=1)]))
    assert found.classes == ()
    assert found.regions[1].category_labels is None


def test_ids_stay_when_filters_drop_regions(tmp_path):
    regions = [region(score=0.9), region(bbox=(0, 0, 3, 50), score=0.9), region(iscrowd=1, score=0.9)]
    regions += [region(score=0.1), region(score=0.4)]
    found = load_region_file(write(tmp_path / "regions.json", regions), min_size=4, min_score=0.3)
    assert found.regions[1].region_ids.tolist() == [0, 4]
    assert sorted(found.dropped.values()) == [1, 1, 1]


def test_images_are_found_by_id_and_by_file_name(tmp_path):
    images = [dict(id=1, file_name="a/x.jpg"), dict(id=2, file_name="y.jpg")]
    found = load_region_file(write(tmp_path / "regions.json", dict(images=images, annotations=[region()])))
    assert found.of_image(1) is found.of_image("a/x.jpg") is found.regions[1]
    assert found.of_image("y.jpg") is None
    assert found.of_image("unknown.jpg") is None
    by_name = [dict(file_name="z.jpg", bbox=[0, 0, 2, 2])]
    assert load_region_file(write(tmp_path / "names.json", by_name)).of_image("z.jpg") is not None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "not valid JSON"),
        (json.dumps(dict(images=[])), "annotations"),
        (json.dumps([dict(bbox=[0, 0, 1, 1])]), "image_id"),
        (json.dumps([region(bbox=(0, 0, -1, 1))]), r"of image 1: bbox \[0\.0, 0\.0, -1\.0, 1\.0\]"),
        (
            json.dumps([region(bbox=(0, 0, 1))]),
            r"'bbox' of record number 0 of image 1 is \[0, 0, 1\], not a list of length 4",
        ),
        (json.dumps([region(bbox=(0, 0, "a", 1))]), r'"a", 1\], not a number'),
        ('[{"image_id": 1, "bbox": [0, 0, NaN, 1]}]', r"'bbox' of record number 0 of image 1 is \[0, 0, NaN, 1\]"),
        (json.dumps(dict(annotations=[region(category_id=9)], categories=CATEGORIES)), "of image 1: category_id 9"),
        (
            json.dumps(dict(annotations=[region(category_id=7), region()], categories=CATEGORIES)),
            "region number 1 of image 1: no category_id",
        ),
    ],
)
def test_malformed_files_are_named(tmp_path, content, named):
    path = tmp_path / "regions.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=named):
        load_region_file(str(path))


def test_missing_file_and_missing_scores(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        load_region_file(str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="no score"):
        load_region_file(write(tmp_path / "regions.json", [region()]), min_score=0.5)
