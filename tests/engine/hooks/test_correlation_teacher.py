from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn
from torch.nn.functional import normalize

from densevlm_mm.engine.hooks import CorrelationTeacherHook, CropTeacherHook, TargetCheckHook
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.layers import pool_boxes
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.pretrainers.targets import collect_target
from densevlm_mm.registry import MODELS
from densevlm_mm.structures import RegionDataSample

ASSETS = Path(__file__).resolve().parents[3] / "densevlm_mm/tiny_scenes/assets"
CHECKPOINT = str(ASSETS / "tiny_scenes_student.safetensors")
TEACHER = dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint=CHECKPOINT)
STUDENT = dict(TEACHER, trainable="blocks", unlocked_groups=1, grad_checkpointing=True)


@MODELS.register_module()
class BlockTeacher(nn.Module):
    """Mean colours of blocks of pixels; can lie about their size."""

    def __init__(self, stride: int, claims: int | None = None) -> None:
        super().__init__()
        self.side, self.stride = stride, claims or stride

    def normalize(self, images: Tensor) -> Tensor:
        return images / 255

    def dense(self, images: Tensor) -> Tensor:
        self.seen = tuple(images.shape[-2:])
        return normalize(nn.functional.avg_pool2d(images, self.side), dim=1)


@pytest.fixture(scope="module", autouse=True)
def _unregister():
    yield
    MODELS.module_dict.pop("BlockTeacher")


def started(scope: str = "image", student: dict = STUDENT, token_size: int = 2, weight: float = 1.0, **options):
    """A hook in a run of a loss that asks for its targets; returns both."""
    losses = dict(correlate=dict(type="CorrelationDistillationLoss", scope=scope))
    losses["distill"] = dict(type="FeatureDistillationLoss")
    loss = dict(type="WeightedLosses", losses=losses, weights=dict(correlate=weight, distill=1.0))
    model = RegionPretrainer(student, loss, token_size=token_size)
    hooks = [CorrelationTeacherHook(scope, **options), CropTeacherHook(TEACHER)]
    cfg = ConfigDict(model=dict(encoder=student))
    runner = SimpleNamespace(model=model, cfg=cfg, optim_wrapper=SimpleNamespace(), hooks=hooks, _resume=False)
    for hook in (TargetCheckHook(), *hooks):
        hook.before_train(runner)
    return hooks[0], runner


def batch(size: int = 64) -> dict:
    """A whole image with a box that is too narrow, and one whose lower half and last quarter of columns are padding."""
    boxes = ([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 1.0, 1.0], [0.0, 0.0, 0.2, 1.0]], [[0.0, 0.0, 0.75, 0.5]])
    areas = ((size, size), (size // 2, 3 * size // 4))
    samples = [
        RegionDataSample(regions=InstanceData(boxes_norm_xyxy=torch.tensor(b)), metainfo=dict(img_shape=a, img_id=i))
        for i, (b, a) in enumerate(zip(boxes, areas, strict=True))
    ]
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 255, (3, size, size), dtype=torch.uint8, generator=generator) for _ in samples]
    return dict(inputs=images, data_samples=samples)


def dense_of(data: dict, encoder: DenseImageEncoder) -> Tensor:
    return encoder.dense(encoder.normalize(torch.stack([image.flip(0) for image in data["inputs"]])))


def test_maps_of_the_initial_student_and_what_of_them_is_no_padding() -> None:
    hook, runner = started()
    data = batch()
    expected = dense_of(data, DenseImageEncoder(checkpoint=CHECKPOINT))
    with torch.no_grad():  # what the student has become since
        for parameter in runner.model.encoder.parameters():
            parameter.add_(0.1)
    hook.before_train_iter(runner, 0, data)
    maps = collect_target("teacher_map", data["data_samples"])
    torch.testing.assert_close(maps, expected)
    assert not maps.requires_grad
    whole, part = collect_target("teacher_map_valid", data["data_samples"])
    assert whole.all()
    assert part.sum() == 4 * 6
    assert part[:4, :6].all()
    assert "teacher_tokens" not in data["data_samples"][0].regions


def test_a_cell_belongs_to_the_image_if_its_centre_does() -> None:
    hook, runner = started()
    data = batch()
    for sample, area in zip(data["data_samples"], ((29, 28), (61, 3)), strict=True):
        sample.set_metainfo(dict(img_shape=area))
    hook.before_train_iter(runner, 0, data)
    first, second = collect_target("teacher_map_valid", data["data_samples"])
    assert first.nonzero().amax(0).tolist() == [3, 2]  # centres at 28 < 29, and at 28, which is outside
    assert not second.any()


def test_tokens_of_regions_are_pooled_like_the_students() -> None:
    hook, runner = started("region", token_size=3)
    data = batch()
    hook.before_train_iter(runner, 0, data)
    tokens = collect_target("teacher_tokens", data["data_samples"])
    boxes = [sample.regions.boxes_norm_xyxy for sample in data["data_samples"]]
    pooled = pool_boxes(dense_of(data, DenseImageEncoder(checkpoint=CHECKPOINT)), boxes, 3)
    torch.testing.assert_close(tokens, normalize(pooled.flatten(2).transpose(1, 2), dim=-1))
    valid = collect_target("teacher_tokens_valid", data["data_samples"])
    assert valid.shape == (4, 9)
    assert valid.all(dim=1).tolist() == [True, True, False, True]
    assert not valid[2].any()  # 1.6 cells wide


def test_tokens_in_the_padding_are_not_valid() -> None:
    hook, runner = started("region", token_size=4)
    data = batch()
    data["data_samples"][1].regions.boxes_norm_xyxy = torch.tensor([[0.5, 0.0, 1.0, 1.0]])
    hook.before_train_iter(runner, 0, data)
    valid = data["data_samples"][1].regions.teacher_tokens_valid.view(4, 4)
    assert valid.nonzero().amax(0).tolist() == [1, 1]
    assert valid.sum() == 4


@pytest.mark.parametrize("scope", ["region", "image"])
def test_the_student_as_it_starts_loses_nothing(scope: str) -> None:
    _, runner = started(scope)
    data = batch()
    for each in runner.hooks:
        each.before_train_iter(runner, 0, data)
    out = runner.model(**runner.model.data_preprocessor(data), mode="loss")
    assert out["correlate_value"].item() == pytest.approx(0, abs=1e-6)
    assert out["loss_distill"] > 0
    assert out["correlate_kept"].item() == pytest.approx(1.0 if scope == "image" else 0.75)


def test_the_initial_student_is_one_module_for_all_hooks() -> None:
    hook, runner = started()
    assert hook.teacher is runner.hooks[1].teacher
    assert hook.teacher is not runner.model.encoder
    hook.after_train(runner)
    assert hook.teacher is None


def test_another_patch_sees_the_canvas_at_the_size_that_gives_the_students_grid() -> None:
    hook, runner = started(teacher=dict(type="BlockTeacher", stride=5))
    data = batch(68)  # 8 cells of 8 pixels; the remainder is not seen
    seen = torch.stack([image.flip(0) for image in data["inputs"]])[..., :64, :64].float()
    hook.before_train_iter(runner, 0, data)
    assert hook.teacher.seen == (40, 40)
    resized = nn.functional.interpolate(seen, (40, 40), mode="bicubic", antialias=True)
    expected = normalize(nn.functional.avg_pool2d(resized, 5), dim=1)
    torch.testing.assert_close(collect_target("teacher_map", data["data_samples"]), expected)


def test_a_model_of_timm_is_a_teacher_of_another_width() -> None:
    hook, runner = started(teacher=dict(type="TimmFeatures", model_name="test_vit", checkpoint="random"))
    data = batch()
    for each in runner.hooks:
        each.before_train_iter(runner, 0, data)
    maps = collect_target("teacher_map", data["data_samples"])
    assert maps.shape == (2, hook.teacher.embed_dim, 8, 8)
    assert not any(parameter.requires_grad for parameter in hook.teacher.parameters())
    out = runner.model(**runner.model.data_preprocessor(data), mode="loss")
    assert out["loss_correlate"] > 0


def test_a_grid_that_is_not_the_students_is_an_error() -> None:
    hook, runner = started(teacher=dict(type="BlockTeacher", stride=4, claims=8))
    with pytest.raises(ValueError, match=r"BlockTeacher gives a map of \(16, 16\) .* \(64, 64\) .* \(8, 8\)"):
        hook.before_train_iter(runner, 0, batch())


def test_a_weight_of_0_builds_no_teacher_and_writes_nothing() -> None:
    hook, runner = started(weight=0.0)
    assert hook.teacher is None
    data = batch()
    hook.before_train_iter(runner, 0, data)
    assert "teacher_map" not in data["data_samples"][0]
    assert isinstance(data["inputs"], list)  # left to the others


@pytest.mark.parametrize("checkpoint", ["random", None])
def test_an_initial_student_of_random_weights_is_an_error(checkpoint: str | None) -> None:
    student = dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint="random")
    hook, runner = started(student=student, teacher=TEACHER)
    hook = CorrelationTeacherHook("image")
    runner.cfg.model.encoder.checkpoint = checkpoint
    with pytest.raises(ValueError, match=r"model\.encoder\.checkpoint is ('random'|None): name a file"):
        hook.before_train(runner)


def test_a_training_that_begins_with_other_weights_has_another_initial_student() -> None:
    _, runner = started(teacher=TEACHER)
    with torch.no_grad():
        next(iter(runner.model.encoder.visual.parameters())).add_(1)  # as load_from does
    with pytest.raises(ValueError, match="other weights than the student's training began with"):
        CorrelationTeacherHook("image").before_train(runner)


def test_another_scope_than_the_losss_stops_before_the_first_step() -> None:
    model = RegionPretrainer(STUDENT, dict(type="CorrelationDistillationLoss", scope="image"))
    runner = SimpleNamespace(model=model, hooks=[CorrelationTeacherHook("region")])
    with pytest.raises(ValueError, match=r"'teacher_map', .*: CorrelationTeacherHook would, with other arguments"):
        TargetCheckHook().before_train(runner)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="'box'"):
        CorrelationTeacherHook("box")
    with pytest.raises(ValueError, match="half"):
        CorrelationTeacherHook(dtype="half")


def test_two_processes_write_the_targets_of_one_with_both_images(in_two_processes) -> None:
    _, runner = started()
    with torch.no_grad():
        for parameter in runner.model.encoder.parameters():
            parameter.mul_(1.01)

    def loss(rows: slice) -> Tensor:
        data = {name: values[rows] for name, values in batch().items()}
        for hook in runner.hooks:
            hook.before_train_iter(runner, 0, data)
        return runner.model(**runner.model.data_preprocessor(data), mode="loss")["correlate_value"]

    parts = in_two_processes(lambda rank: loss(slice(rank, rank + 1)))
    whole = loss(slice(0, 2))
    assert whole > 1e-5
    torch.testing.assert_close((parts[0] + parts[1]) / 2, whole, rtol=1e-3, atol=0)
