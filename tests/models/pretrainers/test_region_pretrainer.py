from functools import cached_property

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from densevlm_mm.models.layers import coherence_auc
from densevlm_mm.models.losses import PretrainingLoss
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.pretrainers.student_features import StudentFeatures
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.registry import MODELS
from densevlm_mm.structures import RegionDataSample

NUM_CLASSES, SIZE = 5, 64


@pytest.fixture(autouse=True)
def _scope() -> None:
    init_default_scope("densevlm_mm")
    torch.manual_seed(0)


def embeddings(dim: int = 128, num_classes: int = NUM_CLASSES) -> ClassEmbeddings:
    return ClassEmbeddings(
        name="test",
        classes=tuple(f"class {i}" for i in range(num_classes)),
        is_thing=np.arange(num_classes) < 3,
        embeddings=torch.nn.functional.normalize(torch.randn(num_classes, dim), dim=-1),
        model="TinyScenes-S",
        templates="plain",
        normalization="class",
        fingerprint="",
    )


def pretrainer(**options) -> RegionPretrainer:
    options.setdefault("class_embeddings", embeddings())
    options.setdefault("loss", dict(type="DecoupledAlignmentLoss", threshold=0.0))
    encoder = dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint="random", trainable="blocks")
    return RegionPretrainer(encoder, **options)


def training_batch(num_regions: tuple[int, ...] = (4, 6), with_targets: bool = True) -> dict:
    samples = []
    for count in num_regions:
        corners = torch.rand(count, 2) * 0.5
        regions = InstanceData(boxes_norm_xyxy=torch.cat([corners, corners + 0.4], dim=1))
        if with_targets:
            regions.teacher_logits = torch.rand(count, NUM_CLASSES)
        samples.append(RegionDataSample(regions=regions))
    return dict(
        inputs=[torch.randint(0, 255, (3, SIZE, SIZE), dtype=torch.uint8) for _ in num_regions], data_samples=samples
    )


def test_preprocessor_normalises_bgr_with_the_encoders_statistics() -> None:
    model = pretrainer()
    batch = training_batch()
    inputs = model.data_preprocessor(batch)["inputs"]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (model.encoder.mean, model.encoder.std))
    expected = (batch["inputs"][1].flip(0) / 255.0 - mean) / std
    torch.testing.assert_close(inputs[1], expected, rtol=0, atol=1e-5)


def test_loss_equals_the_parts_put_together_by_hand() -> None:
    model = pretrainer()
    data = model.data_preprocessor(training_batch())
    out = model(**data, mode="loss")
    features = []
    for image, sample in zip(data["inputs"], data["data_samples"], strict=True):
        dense = model.encoder.dense(image[None])
        for box in sample.regions.boxes_norm_xyxy:
            rois = torch.cat([torch.zeros(1), box * 8])[None]
            features.append(torch.ops.torchvision.roi_align(dense, rois, 1.0, 1, 1, -1, True).flatten())
    teacher = torch.cat([s.regions.teacher_logits for s in data["data_samples"]])
    image_index = torch.tensor([0] * 4 + [1] * 6)
    expected = model.loss_module(torch.stack(features), model.text, model.thing_mask, teacher, image_index, 2)
    assert out["loss"].item() == pytest.approx(expected["loss"].item(), rel=1e-5)


def test_gradient_reaches_every_trained_parameter_and_no_other() -> None:
    model = pretrainer()
    data = model.data_preprocessor(training_batch())
    model(**data, mode="loss")["loss"].backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name


def test_embeddings_are_no_state() -> None:
    assert all(name.startswith("encoder.visual.") for name in pretrainer().state_dict())


def test_predict_scores_boxes_and_masks_as_cosines() -> None:
    model = pretrainer(test_class_embeddings=embeddings(num_classes=4)).eval()
    sample, empty = RegionDataSample(), RegionDataSample()
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, :3, 2:5] = True
    sample.gt_regions = InstanceData(
        labels=torch.tensor([0, 3]),
        boxes_norm_xyxy=torch.tensor([[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 1.0]]),
        masks=masks,
    )
    empty.gt_regions = InstanceData(
        labels=torch.zeros(0, dtype=torch.int64), boxes_norm_xyxy=torch.zeros(0, 4), masks=masks[:0]
    )
    sample.segment_map = torch.arange(8).repeat_interleave(8).view(8, 8) // 3
    data = model.data_preprocessor(dict(inputs=training_batch()["inputs"], data_samples=[sample, empty]))
    with torch.no_grad():
        first, second = model(**data, mode="predict")
        dense = model.encoder.dense(data["inputs"])
    assert first.coherence_auc == coherence_auc(dense[0], sample.segment_map)
    assert 0 < first.coherence_auc < 1
    assert "coherence_auc" not in second  # nothing is annotated
    feature = torch.stack([dense[0, :, y, x] for y in range(3) for x in range(2, 5)]).mean(0)
    expected = torch.nn.functional.cosine_similarity(feature[None], model.test_text)
    torch.testing.assert_close(first.pred_regions.mask_scores[0], expected)
    assert first.pred_regions.mask_scores[1].abs().max() == 0  # an empty mask has no feature
    assert first.pred_regions.box_scores.shape == (2, 4)
    assert second.pred_regions.box_scores.shape == (0, 4)
    assert first.vocabulary_classes == second.vocabulary_classes == model.test_class_embeddings.classes


def test_errors_name_the_missing_part() -> None:
    with pytest.raises(ValueError, match=r"model\.class_embeddings"):
        pretrainer(class_embeddings=None)
    with pytest.raises(ValueError, match="128"):
        pretrainer(class_embeddings=embeddings(dim=64))
    model = pretrainer()
    data = model.data_preprocessor(training_batch(with_targets=False))
    with pytest.raises(KeyError, match=r"teacher_logits.*RegionRetrievalHook"):
        model(**data, mode="loss")
    with pytest.raises(ValueError, match=r"SilentLoss does not say .* PretrainingLoss"):
        pretrainer(loss=dict(type="SilentLoss"))
    with pytest.raises(ValueError, match="token_size"):
        pretrainer(token_size=0)
    with pytest.raises(ValueError, match="mode must be"):
        model(data["inputs"], data["data_samples"], mode="train")


def by_vocabulary(tmp_path, names, **options) -> dict:
    """Class embeddings of the TinyScenes student's text tower, from and to files of this test alone."""
    checkpoint = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
    return dict(vocabulary=names, templates="plain", checkpoint=checkpoint, cache_dir=tmp_path / "cache", **options)


def test_a_test_makes_no_embeddings_of_the_training_vocabulary(tmp_path) -> None:
    missing = by_vocabulary(tmp_path, str(tmp_path / "gone.json"))
    model = pretrainer(class_embeddings=missing, test_class_embeddings=by_vocabulary(tmp_path, ["boat", "car"]))
    model.prepare_classes(training=False)
    sample = RegionDataSample()
    sample.gt_regions = InstanceData(
        labels=torch.zeros(1, dtype=torch.int64),
        boxes_norm_xyxy=torch.tensor([[0.0, 0.0, 1.0, 1.0]]),
        masks=torch.ones(1, 8, 8, dtype=torch.bool),
    )
    data = model.data_preprocessor(dict(inputs=training_batch((1,))["inputs"], data_samples=[sample]))
    with torch.no_grad():
        (predicted,) = model.eval()(**data, mode="predict")
    assert predicted.pred_regions.box_scores.shape == (1, 2)
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 1
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        model.prepare_classes(training=True)


def test_a_training_makes_no_embeddings_of_the_test_vocabulary(tmp_path) -> None:
    names = [dict(name=f"boat {i}", isthing=int(i < 3)) for i in range(NUM_CLASSES)]
    model = pretrainer(
        class_embeddings=by_vocabulary(tmp_path, names),
        test_class_embeddings=by_vocabulary(tmp_path, str(tmp_path / "gone.json")),
    )
    model.prepare_classes(training=True)
    assert model(**model.data_preprocessor(training_batch()), mode="loss")["loss"].requires_grad
    with pytest.raises(FileNotFoundError, match=r"gone\.json"):
        model.prepare_classes(training=False)


def test_a_loss_without_categories_reads_no_training_vocabulary(tmp_path) -> None:
    missing = by_vocabulary(tmp_path, str(tmp_path / "gone.json"))
    model = pretrainer(class_embeddings=missing, loss=dict(type="FeatureDistillationLoss"))
    model.prepare_classes(training=True)


def test_a_test_vocabulary_is_the_training_one_by_default_and_encoded_once(tmp_path) -> None:
    names = [dict(name=f"boat {i}", isthing=1) for i in range(NUM_CLASSES)]
    options = by_vocabulary(tmp_path, names)
    for model in (
        pretrainer(class_embeddings=options),
        pretrainer(class_embeddings=options, test_class_embeddings=dict(options)),
    ):
        assert model.test_class_embeddings is model.class_embeddings
        torch.testing.assert_close(model.test_text.norm(dim=1), torch.ones(NUM_CLASSES))


def test_a_test_vocabulary_takes_over_prompts_and_text_tower(tmp_path) -> None:
    training = by_vocabulary(tmp_path, "tiny_scenes", synonyms="first")
    model = pretrainer(class_embeddings=training, test_class_embeddings=dict(vocabulary=["cow", "sheep, lamb"]))
    tested = model.test_class_embeddings
    assert (tested.templates, tested.synonyms, tested.classes) == ("plain", "first", ("cow", "sheep, lamb"))


def test_without_any_vocabulary_a_validation_is_refused_before_it_starts() -> None:
    model = pretrainer(class_embeddings=None, loss=dict(type="FeatureDistillationLoss"))
    model.prepare_classes(training=True)
    with pytest.raises(ValueError, match=r"model\.test_class_embeddings is missing"):
        model.prepare_classes(training=False)


def test_without_categories_no_embeddings_are_needed() -> None:
    model = pretrainer(class_embeddings=None, loss=dict(type="FeatureDistillationLoss"))
    batch = training_batch()
    for sample in batch["data_samples"]:
        sample.regions.teacher_features = torch.randn(len(sample.regions), 128)
    assert model(**model.data_preprocessor(batch), mode="loss")["loss"].requires_grad


def test_one_class_cannot_be_contrasted() -> None:
    model = pretrainer(class_embeddings=embeddings(num_classes=1))
    with pytest.raises(ValueError, match=r"one class, 'class 0'"):
        model.prepare_classes(training=True)


def test_names_without_thing_flags_can_be_classified_into_and_not_be_contrasted(tmp_path) -> None:
    model = pretrainer(class_embeddings=by_vocabulary(tmp_path, ["boat"]))
    model.prepare_classes(training=False)
    model = pretrainer(class_embeddings=by_vocabulary(tmp_path, ["boat", "car"]))
    with pytest.raises(ValueError, match="no thing flags"):
        model.prepare_classes(training=True)


def test_labels_that_came_with_the_regions_are_learned_at_the_runners_step(monkeypatch) -> None:
    model = pretrainer(loss=dict(type="RegionContrastiveLoss", num_classes=3))
    batch = training_batch()
    for sample in batch["data_samples"]:
        sample.regions.labels = torch.zeros(len(sample.regions), dtype=torch.int64)
    data = model.data_preprocessor(batch)
    steps = []
    sample_classes = model.loss_module.sample_classes
    monkeypatch.setattr(
        model.loss_module, "sample_classes", lambda *args: (steps.append(args[2]), sample_classes(*args))[1]
    )
    MessageHub.get_current_instance().update_info("iter", 7)
    model(**data, mode="loss")["loss"].backward()
    assert steps == [7]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.encoder.parameters())


@MODELS.register_module()
class EverythingLoss(PretrainingLoss):
    features = ("dense", "regions", "region_tokens", "views")
    inputs = ("weight", "img_id", "image_index", "num_images")

    def forward(self, *features, **inputs) -> dict:
        self.seen = features, inputs
        return dict(loss=sum(feature.float().square().mean() for feature in features))


@MODELS.register_module()
class SilentLoss(torch.nn.Module):
    """Says nothing of what it wants."""


@pytest.fixture(scope="module", autouse=True)
def _unregister():
    yield
    for name in ("EverythingLoss", "SilentLoss"):
        MODELS.module_dict.pop(name)


def batch_with_views() -> dict:
    batch = training_batch((3, 0))
    for number, sample in enumerate(batch["data_samples"]):
        sample.set_metainfo(dict(img_id=f"image {number}"))
        sample.weight = torch.tensor(float(number))
        sample.view_norm_xyxy = torch.tensor([0.0, 0.0, 1.0, 1.0]) / (number + 1)
    return batch


def test_a_loss_gets_the_features_and_targets_that_it_names_each_computed_once(monkeypatch) -> None:
    model = pretrainer(class_embeddings=None, loss=dict(type="EverythingLoss"), token_size=2).eval()
    calls = []
    dense = model.encoder.dense
    monkeypatch.setattr(model.encoder, "dense", lambda images: (calls.append(len(images)), dense(images))[1])
    data = model.data_preprocessor(batch_with_views())
    model(**data, mode="loss")["loss"].backward()
    assert calls == [2]
    (maps, regions, tokens, views), inputs = model.loss_module.seen
    torch.testing.assert_close(maps, dense(data["inputs"]))
    assert regions.shape == (3, 128)
    assert tokens.shape == (3, 4, 128)
    torch.testing.assert_close(tokens.mean(dim=1), regions, rtol=0, atol=0.05)
    # A view of the whole canvas at its own size is the canvas; the second image's is a quarter of it, enlarged.
    torch.testing.assert_close(views[0], model.encoder(data["inputs"])[0], rtol=0, atol=1e-4)
    quarter = torch.nn.functional.interpolate(data["inputs"][1:, :, :32, :32], (64, 64), mode="bilinear")
    torch.testing.assert_close(views[1], model.encoder(quarter)[0], rtol=0, atol=0.05)
    assert inputs["weight"].tolist() == [0, 1]
    assert inputs["img_id"] == ["image 0", "image 1"]
    assert inputs["image_index"].tolist() == [0, 0, 0]
    assert inputs["num_images"] == 2


@pytest.mark.parametrize(
    "loss", ["DecoupledAlignmentLoss", "FeatureDistillationLoss", "RegionContrastiveLoss", "EverythingLoss"]
)
def test_a_step_reads_nothing_back_from_the_device(loss: str) -> None:
    """Tensors without values stand for those on a device: whoever asks for one, and makes the host wait, fails."""
    model = pretrainer(loss=dict(type=loss))
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        data = batch_with_views()
        for sample in data["data_samples"]:
            sample.regions.labels = torch.zeros(len(sample.regions), dtype=torch.int64)
            sample.regions.teacher_features = torch.rand(len(sample.regions), 128)
        out = model(torch.rand(2, 3, SIZE, SIZE), data["data_samples"], mode="loss")
        out["loss"].backward()
        with pytest.raises(DataDependentOutputException):
            out["loss"].item()


def test_a_part_of_weight_0_trains_as_without_it_to_the_bit() -> None:
    gradients = []
    alone = dict(type="DecoupledAlignmentLoss", threshold=0.0)
    other = dict(type="EverythingLoss")  # whose targets nobody has written
    weighted = dict(type="WeightedLosses", losses=dict(align=alone, other=other), weights=dict(align=1.0, other=0.0))
    for loss in (alone, weighted):
        torch.manual_seed(0)
        model = pretrainer(loss=loss)
        data = model.data_preprocessor(training_batch())
        total, _ = model.parse_losses(model(**data, mode="loss"))
        total.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)


def test_a_feature_of_ones_own_is_a_property_of_a_subclass(monkeypatch) -> None:
    class Features(StudentFeatures):
        names = (*StudentFeatures.names, "whole")

        @cached_property
        def whole(self) -> torch.Tensor:
            return self.encoder(self.images)

    class Pretrainer(RegionPretrainer):
        features_class = Features

    monkeypatch.setattr(EverythingLoss, "features", ("whole",))
    encoder = dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint="random", trainable="blocks")
    with pytest.raises(ValueError, match="asks for the student feature 'whole'; there are: regions"):
        RegionPretrainer(encoder, dict(type="EverythingLoss"))
    model = Pretrainer(encoder, dict(type="EverythingLoss"))
    data = model.data_preprocessor(batch_with_views())
    model(**data, mode="loss")
    torch.testing.assert_close(model.loss_module.seen[0][0], model.encoder(data["inputs"]))
