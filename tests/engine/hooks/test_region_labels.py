from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from densevlm_mm.engine.hooks import RegionLabelHook
from densevlm_mm.structures import RegionDataSample


def runner_of(classes=("cow", "sky"), vocabulary=("sky", "boat", "cow"), **meta) -> SimpleNamespace:
    embeddings = SimpleNamespace(name="mine", classes=vocabulary, is_thing=np.array([False, True, True]))
    dataset = SimpleNamespace(metainfo=dict(classes=classes, **meta))
    return SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=dataset), model=SimpleNamespace(class_embeddings=embeddings)
    )


def test_categories_become_classes_of_the_model() -> None:
    hook = RegionLabelHook()
    hook.before_train(runner_of())
    regions = [InstanceData(category_labels=torch.tensor(labels)) for labels in ([1, 0, 0], [1])]
    batch = dict(data_samples=[RegionDataSample(regions=r) for r in regions])
    hook.before_train_iter(None, 0, batch)
    assert [sample.regions.labels.tolist() for sample in batch["data_samples"]] == [[0, 2, 2], [0]]


def test_an_unknown_category_stops_before_the_first_step() -> None:
    with pytest.raises(ValueError, match=r"'mine'.*'cows' is not among the 3 classes; close to it: 'cow'"):
        RegionLabelHook().before_train(runner_of(classes=("cows",)))


def test_regions_without_categories_are_an_error() -> None:
    with pytest.raises(ValueError, match="needs regions with categories"):
        RegionLabelHook().before_train(runner_of(classes=()))


def test_a_model_without_vocabulary_is_an_error() -> None:
    runner = runner_of()
    runner.model.class_embeddings = None
    with pytest.raises(ValueError, match="class_embeddings"):
        RegionLabelHook().before_train(runner)
