"""A teacher that is no CLIP tower, in hooks of one's own."""

import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from densevlm_mm.engine.hooks import ImageTeacherHook, RegionRetrievalHook, RegionTeacherHook
from densevlm_mm.models.layers import pool_boxes
from densevlm_mm.models.pretrainers.targets import collect_target
from densevlm_mm.registry import MODELS
from densevlm_mm.structures import RegionDataSample


@MODELS.register_module()
class ColourTeacher(nn.Module):
    """Gives every 4 x 4 patch its normalised mean colour, times a parameter."""

    mean = (0.5, 0.4, 0.3)
    std = (0.2, 0.25, 0.5)

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(scale))
        self.drop = nn.Dropout(0.9)

    def normalize(self, images: Tensor) -> Tensor:
        mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std

    def forward(self, images: Tensor) -> Tensor:
        patches = nn.functional.conv2d(images, torch.eye(3)[:, :, None, None] / 16 * torch.ones(4, 4), stride=4)
        return self.drop(self.scale * patches)


@pytest.fixture(scope="module", autouse=True)
def _unregister():
    yield
    MODELS.module_dict.pop("ColourTeacher")


class ColourRegions(RegionTeacherHook):
    region_targets = ("colour",)

    def __init__(self, teacher: dict, **options) -> None:
        super().__init__(teacher, with_text=False, **options)

    def compute_targets(self, images, boxes_norm_xyxy):
        return dict(colour=pool_boxes(self.teacher(self.teacher.normalize(images)), boxes_norm_xyxy))


class ColourMaps(ImageTeacherHook):
    image_targets = ("colour_map", "area")

    def compute_targets(self, images, data_samples):
        areas = [sample.img_shape[0] * sample.img_shape[1] for sample in data_samples]
        return dict(colour_map=self.teacher(self.teacher.normalize(images)), area=areas)


def runner_of(*hooks, **optim_wrapper) -> SimpleNamespace:
    return SimpleNamespace(hooks=hooks, optim_wrapper=SimpleNamespace(**optim_wrapper))


def batch() -> dict:
    boxes = (torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.0, 1.0, 1.0]]), torch.tensor([[0.0, 0.5, 1.0, 1.0]]))
    samples = [
        RegionDataSample(regions=InstanceData(boxes_norm_xyxy=b), metainfo=dict(img_shape=(16, 8 * (i + 1))))
        for i, b in enumerate(boxes)
    ]
    # Bright in the left half of the first image, else black; BGR as pipelines give it.
    images = [torch.zeros(3, 16, 16, dtype=torch.uint8) for _ in boxes]
    images[0][:, :, :8] = torch.tensor([30, 20, 10], dtype=torch.uint8)[:, None, None]
    return dict(inputs=images, data_samples=samples)


def normalised(rgb: tuple[int, int, int]) -> Tensor:
    return torch.tensor([(v / 255 - m) / s for v, m, s in zip(rgb, ColourTeacher.mean, ColourTeacher.std, strict=True)])


def test_two_hooks_write_targets_of_regions_and_of_images_from_one_canvas() -> None:
    hooks = ColourRegions(dict(type="ColourTeacher")), ColourMaps(dict(type="ColourTeacher", scale=2.0))
    runner, data, canvases = runner_of(*hooks), batch(), []
    for hook in hooks:
        hook.before_train(runner)
    for hook in hooks:
        hook.before_train_iter(runner, 0, data)
        canvases.append(data["inputs"])
    assert canvases[0] is canvases[1]  # gone to the device once, and left there for the student
    assert canvases[0].dtype == torch.uint8
    samples = data["data_samples"]
    colour = collect_target("colour", samples)
    torch.testing.assert_close(colour[0], normalised((10, 20, 30)))
    torch.testing.assert_close(colour[1:], normalised((0, 0, 0)).expand(2, 3))
    maps = collect_target("colour_map", samples)
    assert maps.shape == (2, 3, 4, 4)
    torch.testing.assert_close(maps[0, :, 2, 1], 2 * normalised((10, 20, 30)))
    assert not maps.requires_grad
    assert collect_target("area", samples) == [128, 256]
    assert collect_target("img_shape", samples) == [(16, 8), (16, 16)]


def test_equal_teachers_are_one_module_that_is_freed_after_training() -> None:
    hooks = [
        ColourRegions(dict(type="ColourTeacher")),
        ColourMaps(dict(type="ColourTeacher")),
        ColourMaps(dict(type="ColourTeacher", scale=3.0)),
    ]
    runner = runner_of(*hooks)
    for hook in hooks:
        hook.before_train(runner)
    assert hooks[0].teacher is hooks[1].teacher
    assert hooks[0].teacher is not hooks[2].teacher
    teachers = [weakref.ref(hook.teacher) for hook in hooks]
    for hook in hooks:
        hook.after_train(runner)
    gc.collect()
    assert [teacher() for teacher in teachers] == [None] * 3


def test_a_teacher_is_frozen_and_runs_in_the_precision_of_the_training() -> None:
    hook = ColourMaps(dict(type="ColourTeacher"))
    hook.before_train(runner_of(hook, cast_dtype=torch.bfloat16))
    assert not hook.teacher.training
    assert not hook.teacher.scale.requires_grad
    data = batch()
    hook.before_train_iter(None, 0, data)
    assert collect_target("colour_map", data["data_samples"]).dtype == torch.bfloat16
    hook = ColourMaps(dict(type="ColourTeacher"), dtype="float32")
    hook.before_train(runner_of(hook, cast_dtype=torch.bfloat16))
    hook.before_train_iter(None, 0, data := batch())
    assert collect_target("colour_map", data["data_samples"]).dtype == torch.float32


def test_a_teacher_without_what_the_hook_needs_is_named() -> None:
    hook = RegionRetrievalHook(dict(type="ColourTeacher"))
    with pytest.raises(ValueError, match=r"RegionRetrievalHook needs a teacher with .* ColourTeacher has no 'dense'"):
        hook.before_train(runner_of(hook))


def test_what_is_not_declared_is_not_written() -> None:
    hook = ColourMaps(dict(type="ColourTeacher"))
    hook.image_targets = ("colour_map",)
    hook.before_train(runner_of(hook))
    with pytest.raises(ValueError, match=r"ColourMaps computes \['area', 'colour_map'\] and declares"):
        hook.before_train_iter(None, 0, batch())


def test_teachers_of_another_precision_are_modules_of_their_own(request) -> None:
    checkpoint = request.config.rootpath / "densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors"
    encoder = dict(type="DenseImageEncoder", checkpoint=str(checkpoint))
    hooks = [ColourRegions(encoder, dtype=dtype) for dtype in ("bfloat16", "float32", "bfloat16")]
    runner = runner_of(*hooks)
    for hook in hooks:
        hook.before_train(runner)
    assert hooks[0].teacher is hooks[2].teacher
    held, whole = ({p.dtype for p in hook.teacher.parameters()} for hook in hooks[:2])
    assert held == {torch.bfloat16, torch.float32}
    assert whole == {torch.float32}
