from typing import Any

import pytest
import torch
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from mmseg.structures import SegDataSample

import densevlm_mm  # noqa: F401
from densevlm_mm.apis import load_experiment
from densevlm_mm.models.detectors import FViT
from densevlm_mm.models.open_vocabulary import (
    OpenVocabularyModel,
    check_finite_scores,
    class_names,
    embedding_facts,
    instance_names,
)
from densevlm_mm.models.segmentors import CATSeg, OpenVocabularySAN, ZeroShotSegmentor
from densevlm_mm.models.text import ClassEmbeddings


@pytest.mark.parametrize("model", [FViT, CATSeg, OpenVocabularySAN, ZeroShotSegmentor])
def test_our_models_follow_the_protocol(model: type) -> None:
    assert issubclass(model, OpenVocabularyModel)
    assert not issubclass(torch.nn.Module, OpenVocabularyModel)


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ("densevlm", ("model.class_embeddings.vocabulary", "model.test_class_embeddings.vocabulary")),
        ("fvit_original", ("model.roi_head.bbox_head.class_embeddings.vocabulary",)),
        ("san_original", ("model.class_embeddings.vocabulary", "model.test_class_embeddings.vocabulary")),
        ("cat_seg_original", ("model.vocabulary", "model.test_vocabulary")),
    ],
)
def test_a_vocabulary_may_be_a_list_in_every_family(config: str, keys: tuple[str, ...]) -> None:
    names = ("sky", "sandy road")
    options: dict[str, Any] = dict.fromkeys(keys, names)
    if config == "fvit_original":
        head = "model.roi_head.bbox_head"
        options |= {f"{head}.num_classes": 2, f"{head}.novel_classes": ("sandy road",)}
    cfg = load_experiment(f"configs/tiny/{config}.py", options)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
    assert model.predicted_classes() == names


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_one_score_that_is_not_finite_is_found(value: float, dtype: torch.dtype) -> None:
    scores = torch.full((3, 200, 200), 0.9, dtype=dtype)  # whose sum float16 does not hold
    check_finite_scores(scores, "a.jpg")
    check_finite_scores(scores[:0], "a.jpg")
    scores[1, 2, 3] = value
    with pytest.raises(ValueError, match=r"a\.jpg: the model's scores are not finite"):
        check_finite_scores(scores, "a.jpg")


@pytest.mark.parametrize("kind", [dict, lambda **fields: SegDataSample(metainfo=fields)])
def test_names_of_a_segmentation_are_its_own_or_the_data_sets(kind: Any) -> None:
    assert class_names(kind(vocabulary_classes=("a", "b")), dict(classes=("c",))) == ("a", "b")
    assert class_names(kind(img_path="x.jpg"), dict(classes=("c",))) == ("c",)
    for meta in (None, {}, dict(classes=None)):
        with pytest.raises(ValueError, match=r"x\.jpg: .*nobody knows what its labels are called"):
            class_names(kind(img_path="x.jpg"), meta)


def test_names_and_novelty_of_detections() -> None:
    labels = torch.tensor([1, 0])
    own = InstanceData(labels=labels, label_names=["tug", "boat"], is_novel=torch.tensor([True, False]))
    meta = dict(classes=("Fishing_Boat", "car"), novel_classes=("fishing boat",))
    assert instance_names(own, meta) == (["tug", "boat"], [True, False])
    assert instance_names(dict(labels=labels), meta) == (["car", "Fishing_Boat"], [False, True])
    assert instance_names(dict(labels=labels), dict(classes=("x", "y"))) == (["y", "x"], [None, None])
    assert instance_names(dict(labels=labels[:0]), None) == ([], [])
    with pytest.raises(ValueError, match="no label_names and the data set no classes"):
        instance_names(dict(labels=labels), None)


def test_facts_of_embeddings_are_their_own() -> None:
    embeddings = ClassEmbeddings(
        "two", ("a", "b"), None, torch.eye(2), "ViT-B-16", "vild", "class", "0" * 64, synonyms="first"
    )
    assert embedding_facts(embeddings) == dict(
        vocabulary="two", num_classes=2, templates="vild", normalization="class", synonyms="first", model="ViT-B-16"
    )
