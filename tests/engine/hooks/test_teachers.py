from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch._subclasses.fake_tensor import FakeTensorMode

from densevlm_mm.datasets.transforms import cell_boxes, cell_table
from densevlm_mm.engine.hooks import CropTeacherHook, RegionRetrievalHook
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.losses import FeatureDistillationLoss
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.structures import RegionDataSample

STUDENT = dict(
    type="DenseImageEncoder",
    model_name="TinyScenes-S",
    checkpoint="densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors",
)
VOCABULARY = dict(vocabulary="tiny_scenes", templates="plain")


@pytest.fixture
def runner(tmp_path, monkeypatch) -> SimpleNamespace:
    init_default_scope("densevlm_mm")
    torch.manual_seed(0)
    root = __import__("pathlib").Path(__file__).resolve().parents[3]
    monkeypatch.chdir(tmp_path)  # the cache of class embeddings goes below the working directory
    (tmp_path / "densevlm_mm").symlink_to(root / "densevlm_mm")
    model = RegionPretrainer(STUDENT, dict(type="DecoupledAlignmentLoss"), class_embeddings=VOCABULARY)
    cfg = ConfigDict(model=dict(class_embeddings=VOCABULARY))
    return SimpleNamespace(model=model, cfg=cfg, optim_wrapper=SimpleNamespace(), hooks=[])


def batch() -> dict:
    samples = [
        RegionDataSample(
            regions=InstanceData(boxes_norm_xyxy=torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 1.0, 1.0]]))
        ),
        RegionDataSample(regions=InstanceData(boxes_norm_xyxy=torch.tensor([[0.5, 0.25, 1.0, 0.75]]))),
    ]
    return dict(inputs=[torch.randint(0, 255, (3, 64, 64), dtype=torch.uint8) for _ in samples], data_samples=samples)


def rgb_normalised(images: list[torch.Tensor], encoder: DenseImageEncoder) -> torch.Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.mean, encoder.std))
    return torch.stack([(image.flip(0) / 255.0 - mean) / std for image in images])


def test_retrieval_writes_cosines_of_dense_region_features(runner) -> None:
    hook = RegionRetrievalHook(STUDENT)  # its vocabulary comes from the model's config
    hook.before_train(runner)
    data = batch()
    images = data["inputs"]
    hook.before_train_iter(runner, 0, data)
    dense = hook.teacher.dense(rgb_normalised(images, hook.teacher))
    # Whole cells: the mean of the cells' features, up to RoIAlign's bilinear samples at their centres.
    feature = dense[0, :, :4, :4].flatten(1).mean(1)
    expected = torch.nn.functional.cosine_similarity(feature[None], runner.model.text)
    logits = data["data_samples"][0].regions.teacher_logits
    assert logits.shape == (2, 32)
    assert not logits.requires_grad
    torch.testing.assert_close(logits[0], expected, rtol=0, atol=1e-5)
    assert data["data_samples"][1].regions.teacher_logits.shape == (1, 32)


def test_teacher_sees_its_own_input_size(runner) -> None:
    hook = RegionRetrievalHook(STUDENT, input_size=96)
    hook.before_train(runner)
    sizes = []
    dense = hook.teacher.dense
    hook.teacher.dense = lambda images: (sizes.append(tuple(images.shape[-2:])), dense(images))[1]
    hook.before_train_iter(runner, 0, batch())
    assert set(sizes) == {(96, 96)}


def test_teacher_stays_outside_the_model(runner) -> None:
    before = set(runner.model.state_dict())
    hook = RegionRetrievalHook(STUDENT)
    hook.before_train(runner)
    assert set(runner.model.state_dict()) == before
    assert not any(p.requires_grad for p in hook.teacher.parameters())
    assert not hook.teacher.training


def test_crops_of_whole_images_give_their_global_embedding(runner) -> None:
    hook = CropTeacherHook(STUDENT, with_logits=True)
    hook.before_train(runner)
    data = batch()
    images = data["inputs"]
    for sample in data["data_samples"]:
        sample.regions = InstanceData(boxes_norm_xyxy=torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    hook.before_train_iter(runner, 0, data)
    expected = torch.nn.functional.normalize(hook.teacher(rgb_normalised(images, hook.teacher)), dim=-1)
    for i, sample in enumerate(data["data_samples"]):
        torch.testing.assert_close(sample.regions.teacher_features, expected[i : i + 1], rtol=0, atol=1e-5)
        torch.testing.assert_close(
            sample.regions.teacher_logits, expected[i : i + 1] @ runner.model.text.T, rtol=0, atol=1e-5
        )


def test_crops_do_not_depend_on_the_teachers_batch_size(runner) -> None:
    features = []
    for batch_size in (1, 256):
        torch.manual_seed(1)
        hook = CropTeacherHook(STUDENT, batch_size=batch_size)
        hook.before_train(runner)
        data = batch()
        hook.before_train_iter(runner, 0, data)
        features.append(torch.cat([s.regions.teacher_features for s in data["data_samples"]]))
    torch.testing.assert_close(features[0], features[1], rtol=0, atol=1e-5)


def test_features_of_another_space_need_a_projection_before_the_first_step(runner) -> None:
    for loss, widths in ((FeatureDistillationLoss(), None), (FeatureDistillationLoss(projection=(128, 64)), 64)):
        runner.model.loss_module = loss
        hook = CropTeacherHook(STUDENT)
        if widths is None:
            hook.before_train(runner)  # the same model
            continue
        with pytest.raises(ValueError, match=r"projection=\(128, 64\) does not fit"):
            hook.before_train(runner)


def test_another_vocabulary_than_the_students_is_an_error(runner) -> None:
    hook = RegionRetrievalHook(STUDENT, class_embeddings=dict(vocabulary="coco_panoptic_133", templates="plain"))
    with pytest.raises(ValueError, match="different vocabularies"):
        hook.before_train(runner)
    hook = RegionRetrievalHook(STUDENT, class_embeddings=dict(VOCABULARY, num_things=19))
    with pytest.raises(ValueError, match="different thing flags"):
        hook.before_train(runner)


def test_vocabulary_cannot_come_from_the_students_file(runner) -> None:
    runner.cfg.model.class_embeddings = "student.safetensors"
    with pytest.raises(ValueError, match=r"student\.safetensors"):
        RegionRetrievalHook(STUDENT).before_train(runner)


def test_teachers_read_nothing_back_from_the_device(runner) -> None:
    for hook in (RegionRetrievalHook(STUDENT), CropTeacherHook(STUDENT, with_logits=True)):
        hook.before_train(runner)
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):  # values that are asked for are an error
            targets = hook.compute_targets(torch.rand(2, 3, 64, 64), [torch.rand(3, 4), torch.rand(0, 4)])
        assert {name: len(values) for name, values in targets.items()} == dict.fromkeys(hook.region_targets, 3)


def test_targets_of_a_region_do_not_depend_on_the_other_regions(runner) -> None:
    """Those of all cells of an image, computed at once, hold for any step that has some of them."""
    cells = torch.from_numpy(cell_boxes(cell_table("balanced", 4))).float()
    images = 255 * torch.rand(2, 3, 64, 64)
    for hook in (RegionRetrievalHook(STUDENT), CropTeacherHook(STUDENT, with_logits=True)):
        hook.before_train(runner)
        every = hook.compute_targets(images, [cells, cells])
        chosen = [torch.tensor([3, 40, 11]), torch.tensor([7])]
        some = hook.compute_targets(images, [cells[ids] for ids in chosen])
        assert set(some) == set(hook.region_targets)
        for name, values in some.items():
            by_image = every[name].view(2, len(cells), -1)
            selected = torch.cat([by_image[i][ids] for i, ids in enumerate(chosen)])
            torch.testing.assert_close(values, selected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("hook", "options", "named"),
    [
        (RegionRetrievalHook, dict(dtype="half"), "half"),
        (RegionRetrievalHook, dict(input_size=0), "input_size"),
        (CropTeacherHook, dict(crop_size=0), "crop_size"),
        (CropTeacherHook, dict(batch_size=0), "batch_size"),
        (RegionRetrievalHook, dict(teacher=dict(STUDENT, trainable="blocks")), "trainable"),
    ],
)
def test_wrong_arguments_are_named(hook, options, named) -> None:
    with pytest.raises(ValueError, match=named):
        hook(**{"teacher": STUDENT, **options})
