import json
import logging
import random

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from densevlm_mm.datasets import ResumableSampler, SampleIndex, SeededDataset
from densevlm_mm.datasets.seeded import seeded_random_state
from densevlm_mm.registry import DATASETS


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


def draw_from_all(results):
    """A transform like mmdet's: random, numpy and torch; gives up on some samples so that BaseDataset draws another."""
    if np.random.rand() < 0.3:
        return None
    return dict(
        index=results["sample_idx"], draws=(random.random(), np.random.rand(), torch.rand(1).item()), cat=results["cat"]
    )


class Numbers(BaseDataset):
    METAINFO = dict(classes=("a", "b"))

    def load_data_list(self):
        return [dict(cat=i % 2) for i in range(12)]

    def get_cat_ids(self, idx):
        return [self.get_data_info(idx)["cat"]]


@pytest.fixture
def dataset():
    return SeededDataset(Numbers(pipeline=[draw_from_all]))


def epoch_of(dataset, epoch, num_workers, position=0):
    sampler = ResumableSampler(dataset, seed=3)
    sampler.set_epoch(epoch)
    sampler.set_position(position)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, num_workers=num_workers, collate_fn=list)
    return [sample for batch in loader for sample in batch]


def test_samples_do_not_depend_on_workers_or_resuming(dataset):
    whole = epoch_of(dataset, 1, num_workers=0)
    assert epoch_of(dataset, 1, num_workers=2) == whole
    assert epoch_of(dataset, 1, num_workers=1, position=6) == whole[6:]


def test_epoch_seed_and_index_change_the_sample(dataset):
    samples = [dataset[SampleIndex(i, epoch=e, seed=s)]["draws"] for i in (0, 1) for e in (0, 1) for s in (0, 1)]
    assert len(set(samples)) == 8
    fixed = SeededDataset(Numbers(pipeline=[draw_from_all]), seed=1)
    assert fixed[SampleIndex(0, epoch=1, seed=99)] == dataset[SampleIndex(0, epoch=1, seed=1)]


def test_state_of_the_main_process_is_left_alone(dataset):
    for _ in range(2):
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        before = random.random(), np.random.rand(), torch.rand(1).item()
        random.seed(0), np.random.seed(0), torch.manual_seed(0)
        dataset[SampleIndex(4, epoch=1)]
        assert (random.random(), np.random.rand(), torch.rand(1).item()) == before


def test_state_is_restored_after_an_error():
    np.random.seed(0)
    expected = np.random.rand()
    np.random.seed(0)
    with pytest.raises(KeyError), seeded_random_state(1, 2, 3):
        raise KeyError
    assert np.random.rand() == expected


def test_negative_index_is_the_same_sample(dataset):
    assert dataset[SampleIndex(-1, epoch=2)]["draws"] == dataset[SampleIndex(11, epoch=2)]["draws"]


def test_the_wrapped_dataset_shows_through():
    dataset = SeededDataset(Numbers(lazy_init=True), lazy_init=True)
    assert not dataset.dataset._fully_initialized
    dataset.full_init()
    assert len(dataset) == 12
    assert dataset.metainfo["classes"] == ("a", "b")
    assert dataset.get_data_info(3)["cat"] == 1
    assert dataset.get_cat_ids(3) == [1]


def test_a_detection_dataset_of_mmdet_is_seeded_too(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((24, 32, 3), np.uint8))
    boxes = [dict(id=i, image_id=i, category_id=1, bbox=[1, 1, 9, 9], area=81, iscrowd=0) for i in range(6)]
    images = [dict(id=i, file_name="a.png", height=24, width=32) for i in range(6)]
    content = dict(images=images, annotations=boxes, categories=[dict(id=1, name="cat")])
    (tmp_path / "coco.json").write_text(json.dumps(content))
    pipeline = [
        dict(type="LoadImageFromFile"),
        dict(type="LoadAnnotations", with_bbox=True),
        dict(type="RandomResize", scale=[(32, 32), (64, 64)], keep_ratio=True),
        dict(type="RandomFlip", prob=0.5),
        dict(type="PackDetInputs", meta_keys=("img_id", "img_shape", "flip")),
    ]
    coco = dict(type="CocoDataset", data_root=str(tmp_path), ann_file="coco.json", data_prefix=dict(img=""))
    config = dict(
        type="densevlm_mm.SeededDataset", dataset=dict(coco, pipeline=pipeline, metainfo=dict(classes=("cat",)))
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        dataset = DATASETS.build(config)

    def looks(num_workers, position=0):
        samples = epoch_of(dataset, 1, num_workers, position)
        return [(s["data_samples"].img_id, s["data_samples"].img_shape, s["data_samples"].flip) for s in samples]

    whole = looks(0)
    assert len({shape for _, shape, _ in whole}) > 1
    assert looks(2) == whole
    assert looks(1, position=2) == whole[2:]


def test_index_without_epoch_is_logged_once(dataset, log):
    dataset[0]
    dataset[1]
    assert len(log) == 1
    assert "an index without an epoch" in log[0]
