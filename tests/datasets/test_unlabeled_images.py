import json
import logging

import cv2
import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.runner import Runner

from densevlm_mm.datasets import UnlabeledImageDataset, skip_none_collate
from densevlm_mm.registry import DATASETS
from tests.fixtures.pipelines import PIPELINE


@pytest.fixture
def log():
    """Messages that mmengine's current logger gets."""
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.fixture
def root(tmp_path):
    """Images a/0.jpg ... a/5.PNG with different grey levels, a list, a COCO and an LVIS file of them."""
    (tmp_path / "images" / "a").mkdir(parents=True)
    names = [f"a/{i}{suffix}" for i, suffix in enumerate([".jpg", ".png", ".jpeg", ".jpg", ".jpg", ".PNG"])]
    for i, name in enumerate(names):
        cv2.imwrite(str(tmp_path / "images" / name), np.full((20, 30, 3), 40 * i, np.uint8))
    (tmp_path / "images" / "notes.md").write_text("not an image")
    (tmp_path / "list.txt").write_bytes(("# mine\r\n" + "\r\n".join(reversed(names)) + "\r\n\n").encode("utf-8-sig"))
    coco = dict(images=[dict(id=100 - i, file_name=name, height=20, width=30) for i, name in enumerate(names)])
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    lvis = dict(images=[dict(id=i, coco_url=f"http://images/{name}") for i, name in enumerate(names)])
    (tmp_path / "lvis.json").write_text(json.dumps(lvis))
    return tmp_path


def make(root, source="coco.json", **kwargs):
    kwargs.setdefault("data_prefix", dict(img="images"))
    return UnlabeledImageDataset(source, data_root=str(root), **kwargs)


def test_coco_file_keeps_ids_and_order(root):
    dataset = make(root)
    assert [dataset.get_data_info(i)["img_id"] for i in range(6)] == [100, 99, 98, 97, 96, 95]
    assert dataset.get_data_info(0)["img_path"] == str(root / "images" / "a" / "0.jpg")


def test_lvis_file_gives_paths_by_url(root):
    assert make(root, "lvis.json").get_data_info(5)["img_path"] == str(root / "images" / "a" / "5.PNG")


def test_list_keeps_its_order_and_paths_are_ids(root):
    dataset = make(root, "list.txt")
    assert [dataset.get_data_info(i)["img_id"] for i in (0, 5)] == ["a/5.PNG", "a/0.jpg"]


def test_folder_is_searched_and_sorted(root):
    dataset = make(root, "images", data_prefix=None)
    assert [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))] == [
        "a/0.jpg",
        "a/1.png",
        "a/2.jpeg",
        "a/3.jpg",
        "a/4.jpg",
        "a/5.PNG",
    ]


def test_indices_take_a_subset(root):
    assert [make(root, indices=[4, 1]).get_data_info(i)["img_id"] for i in (0, 1)] == [96, 99]
    assert len(make(root, indices=2)) == 2
    assert len(make(root).get_subset([0, 3])) == 2


def test_item_is_a_packed_image(root):
    item = make(root, pipeline=PIPELINE)[3]
    assert item["inputs"].shape == (3, 32, 32)
    sample = item["data_samples"]
    assert (sample.img_id, sample.ori_shape, sample.img_shape, sample.pad_shape) == (97, (20, 30), (21, 32), (32, 32))
    assert abs(int(item["inputs"][0, 5, 5]) - 120) <= 2
    assert len(sample.regions) >= 4


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "lists no image"),
        ([dict(id=1)], r"images\[0\]: no 'file_name' \(or LVIS's 'coco_url'\)"),
        ([dict(file_name="a/0.jpg")], "image 'a/0.jpg': no 'id'"),
        ([dict(id=1, file_name="a/0.jpg")] * 2, "lists 1 2 times"),
    ],
)
def test_malformed_coco_file_is_an_error(root, images, message):
    (root / "bad.json").write_text(json.dumps(dict(images=images)))
    with pytest.raises(ValueError, match=message):
        make(root, "bad.json")


def test_missing_things_are_named(root):
    with pytest.raises(FileNotFoundError, match=r"image source .*other\.json does not exist"):
        make(root, "other.json")
    with pytest.raises(FileNotFoundError, match=r"the first image .*elsewhere/a/0\.jpg does not exist"):
        make(root, data_prefix=dict(img="elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"image source .*no_folder"):
        make(root, "no_folder", data_prefix=None)


def test_all_missing_images_are_found_before_the_first_step(root):
    (root / "images/a/4.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"coco\.json: 1 of 6 images do not exist: .*a/4\.jpg"):
        make(root)
    assert len(make(root, on_error="skip")) == 6
    assert len(make(root, indices=4)) == 4
    assert len(make(root, indices=[0, 5])) == 2
    assert len(make(root, "images", data_prefix=None)) == 5


@pytest.mark.parametrize("name", ["../coco.json", "/etc/hostname", "a/../../x.jpg", "http://host/1.jpg"])
@pytest.mark.parametrize("suffix", ["json", "txt"])
def test_names_that_lead_out_of_the_folder_are_refused(root, name, suffix):
    (root / f"bad.{suffix}").write_text(
        f"a/0.jpg\n{name}\n" if suffix == "txt" else json.dumps(dict(images=[dict(id=1, file_name=name)]))
    )
    with pytest.raises(ValueError, match=rf"bad\.{suffix}: file name .*allowed_roots"):
        make(root, f"bad.{suffix}")


def test_absolute_paths_need_roots(root):
    (root / "absolute.txt").write_text(f"{root}/images/a/0.jpg\n")
    with pytest.raises(ValueError, match="is an absolute path"):
        make(root, "absolute.txt")
    dataset = make(root, "absolute.txt", allowed_roots=[str(root)])
    assert dataset.get_data_info(0)["img_path"] == f"{root}/images/a/0.jpg"


def test_unusable_arguments_are_errors(root):
    with pytest.raises(ValueError, match="on_error must be 'raise' or 'skip', not 'ignore'"):
        make(root, on_error="ignore")
    with pytest.raises(ValueError, match="means nothing with the folder"):
        make(root, "images")
    (root / "wide.txt").write_bytes("a.jpg\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"image source .*wide\.txt is UTF-16"):
        UnlabeledImageDataset("wide.txt", data_root=str(root))
    with pytest.raises(ValueError, match=r"neither a \.json, nor a \.txt, nor a folder"):
        make(root, "images/notes.md", data_prefix=None)
    (root / "empty").mkdir()
    with pytest.raises(ValueError, match="lists no image"):
        make(root, "empty", data_prefix=None)


def test_unreadable_image_is_an_error_that_names_it(root):
    (root / "images/a/3.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a/3\.jpg is empty"):
        make(root, pipeline=PIPELINE)[3]


def test_skipped_images_are_counted_once_over_all_workers(root):
    (root / "images/a/1.png").write_text("text")
    (root / "images/a/4.jpg").unlink()
    config = dict(
        dataset=make(root, pipeline=PIPELINE, on_error="skip"),
        sampler=dict(type="DefaultSampler", shuffle=False),
        collate_fn=dict(type="skip_none_collate"),
        batch_size=2,
        num_workers=2,
        persistent_workers=True,
    )
    loader = Runner.build_dataloader(config, seed=0)
    for _ in range(2):
        ids = [[sample.img_id for sample in batch["data_samples"]] for batch in loader]
        assert ids == [[100], [98, 97], [95]]
    assert loader.dataset.skipped == [1, 4]


def test_more_skipped_images_than_allowed_is_an_error(root, log):
    for name in ("a/1.png", "a/2.jpeg"):
        (root / "images" / name).write_text("text")
    dataset = make(root, pipeline=PIPELINE, on_error="skip", max_skipped=1)
    assert [dataset[1], dataset[1]] == [None, None]
    assert len(log) == 1
    assert "skipped image 1 (of at most 1): " in log[0]
    assert "a/1.png" in log[0]
    with pytest.raises(ValueError, match=r"2 unreadable images, more than max_skipped=1; the last: .*2\.jpeg"):
        dataset[2]
    with pytest.raises(ValueError, match="all 1 images"):
        skip_none_collate([dataset[1]])


def test_pipeline_that_drops_a_readable_image_is_an_error(root):
    with pytest.raises(ValueError, match=r"the pipeline returned nothing for .*0\.jpg"):
        make(root, pipeline=[lambda results: None])[0]


def test_lazy_dataset_fills_itself_and_is_registered(root):
    config = dict(type="UnlabeledImageDataset", source="list.txt", data_root=str(root), lazy_init=True)
    dataset = DATASETS.build(dict(config, data_prefix=dict(img="images"), pipeline=PIPELINE))
    assert dataset[0]["data_samples"].img_id == "a/5.PNG"
