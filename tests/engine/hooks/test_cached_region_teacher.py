"""Teachers with a cache: what is computed, what is read, and that nobody can tell the difference."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate

from densevlm_mm.datasets import SeededDataset, UnlabeledImageDataset
from densevlm_mm.datasets.samplers import SampleIndex
from densevlm_mm.engine.hooks import CropTeacherHook, RegionRetrievalHook
from densevlm_mm.models.pretrainers import RegionPretrainer

ASSETS = Path(__file__).resolve().parents[3] / "densevlm_mm/tiny_scenes/assets"
STUDENT = dict(
    type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint=str(ASSETS / "tiny_scenes_student.safetensors")
)
VOCABULARY = dict(vocabulary="tiny_scenes", templates="plain")
PIPELINE = [
    dict(type="LoadImage"),
    dict(type="ResizeLongestSide", size=64),
    dict(type="GridRegions", max_grid=3),
    dict(type="PadToSquare", size=64),
    dict(type="PackRegionInputs"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> RegionPretrainer:
    cwd = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("class_embeddings"))  # they are cached below the working directory
    try:
        return RegionPretrainer(STUDENT, dict(type="DecoupledAlignmentLoss"), class_embeddings=VOCABULARY)
    finally:
        os.chdir(cwd)


@pytest.fixture
def runner(model, tmp_path, monkeypatch) -> SimpleNamespace:
    """What hooks read of a runner, with eight images of several shapes on disk."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for i in range(8):
        coarse = rng.integers(0, 255, (4, 4 + i % 3, 3), dtype=np.uint8)
        shape = (50 + 10 * (i % 2), 40 + 8 * i)
        cv2.imwrite(str(tmp_path / f"images/{i}.png"), cv2.resize(coarse, shape, interpolation=cv2.INTER_NEAREST))
    dataset = SeededDataset(UnlabeledImageDataset(source=str(tmp_path / "images"), pipeline=PIPELINE), seed=0)
    return SimpleNamespace(
        model=model,
        cfg=ConfigDict(model=dict(class_embeddings=VOCABULARY)),
        optim_wrapper=SimpleNamespace(),
        hooks=[],
        train_dataloader=SimpleNamespace(dataset=dataset),
    )


@pytest.fixture
def targets(runner) -> Callable:
    """Call a hook on a batch of images in some epoch; returns the targets of each image by name."""

    def call(hook, indices, epoch: int = 0) -> list[dict[str, torch.Tensor]]:
        dataset = runner.train_dataloader.dataset
        batch = pseudo_collate([dataset[SampleIndex(i, epoch)] for i in indices])
        hook.before_train_iter(runner, 0, batch)
        return [{name: sample.regions[name] for name in hook.region_targets} for sample in batch["data_samples"]]

    return call


def start(hook_class, runner, **options):
    hook = hook_class(STUDENT, **options)
    hook.before_train(runner)
    return hook


def watch(hook) -> list[int]:
    """Numbers of images that the teacher was given from now on."""
    seen: list[int] = []
    if hook.teacher is None:
        hook.build_teacher(hook._runner)
    inner = hook.teacher.dense if isinstance(hook, RegionRetrievalHook) else hook.teacher.forward
    name = "dense" if isinstance(hook, RegionRetrievalHook) else "forward"
    setattr(hook.teacher, name, lambda images: (seen.append(len(images)), inner(images))[1])
    return seen


def equal(ours: list[dict], theirs: list[dict]) -> bool:
    return all(torch.equal(a[name], b[name]) for a, b in zip(ours, theirs, strict=True) for name in a)


def test_targets_follow_from_the_image_alone_on_the_cpu_in_float32(runner, targets) -> None:
    for hook_class, options in ((RegionRetrievalHook, {}), (CropTeacherHook, dict(with_logits=True))):
        hook = start(hook_class, runner, **options)
        together = targets(hook, range(8))
        singly = [targets(hook, [i])[0] for i in range(8)]
        assert equal(together, singly)


def test_only_images_without_a_record_go_to_the_teacher_and_all_targets_are_the_same(runner, targets) -> None:
    options = dict(path="cache", min_threshold=0.0)
    plain = start(RegionRetrievalHook, runner)
    hook = start(RegionRetrievalHook, runner, cache=options)
    seen = watch(hook)
    assert equal(targets(hook, [0, 1, 2]), targets(plain, [0, 1, 2]))
    assert len(seen) == 3
    # Other grids of the same images, and two images that are new.
    assert equal(targets(hook, [5, 2, 1, 7, 0], epoch=3), targets(plain, [5, 2, 1, 7, 0], epoch=3))
    assert len(seen) == 5
    assert (hook.cache.num_read, hook.cache.num_computed) == (3, 5)
    hook.after_train_epoch(runner)
    assert (hook.cache.num_read, hook.cache.num_computed) == (0, 0)
    hook.after_train(runner)
    assert hook.cache is None
    # A later run need not even build its teacher.
    later = start(RegionRetrievalHook, runner, cache=options)
    assert equal(targets(later, [0, 5], epoch=9), targets(plain, [0, 5], epoch=9))
    assert later.teacher is None


def test_the_loss_of_stored_targets_is_that_of_computed_ones_to_the_bit(runner, model, targets) -> None:
    logits = []
    for cache in (None, dict(path="cache"), dict(path="cache")):
        hook = start(RegionRetrievalHook, runner, cache=cache)
        logits.append(torch.cat([target["teacher_logits"] for target in targets(hook, range(8))]))
    assert torch.equal(logits[1], logits[2])
    assert not torch.equal(logits[0], logits[1])  # of dropped regions the confidence alone is kept
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(len(logits[0]), model.encoder.embed_dim, generator=generator)
    images = torch.zeros(len(features), dtype=torch.int64)
    outputs = [model.loss_module(features, model.text, model.thing_mask, target, images, 1) for target in logits]
    assert 0 < outputs[0]["kept"] < 1
    for output in outputs[1:]:
        assert all(torch.equal(value, output[name]) for name, value in outputs[0].items())


def test_a_changed_image_is_another_image(runner, targets) -> None:
    hook = start(RegionRetrievalHook, runner, cache=dict(path="cache"))
    seen = watch(hook)
    targets(hook, [0, 1])
    cv2.imwrite("images/1.png", np.full((60, 60, 3), 200, dtype=np.uint8))
    os.utime("images/1.png", ns=(0, 1))
    changed = targets(hook, [0, 1])
    assert len(seen) == 3
    hook.after_train(runner)
    fresh = start(RegionRetrievalHook, runner, cache=dict(path="other"))
    assert equal(changed, targets(fresh, [0, 1]))


def test_a_damaged_record_is_computed_again(runner, targets) -> None:
    hook = start(RegionRetrievalHook, runner, cache=dict(path="cache"))
    whole = targets(hook, range(4))
    hook.after_train(runner)
    (path,) = Path("cache").glob("*/*.records")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    for num_computed in (1, 0):  # the second time it is mended
        hook = start(RegionRetrievalHook, runner, cache=dict(path="cache"))
        assert equal(targets(hook, range(4)), whole)
        assert hook.cache.num_computed == num_computed
        hook.after_train(runner)


def test_a_cache_that_cannot_be_written_changes_nothing(runner, targets) -> None:
    hook = start(RegionRetrievalHook, runner, cache=dict(path="cache"))
    written = targets(hook, range(4))
    hook = start(RegionRetrievalHook, runner, cache=dict(path=os.path.join(os.devnull, "cache")))
    for _ in range(2):
        assert equal(targets(hook, range(4)), written)
    assert hook.cache.store.num_unwritten == 8
    hook.after_train_epoch(runner)


def test_what_targets_depend_on_leads_to_another_folder(runner) -> None:
    variants = [
        dict(),
        dict(
            teacher=dict(STUDENT, checkpoint=str(ASSETS / "tiny_scenes_teacher.safetensors"), model_name="TinyScenes-T")
        ),
        dict(input_size=96),
        dict(dtype="bfloat16"),
        dict(class_embeddings=dict(vocabulary="tiny_scenes", templates=["a {}", "the {}"])),
        dict(cache=dict(path="cache", dtype="float16")),
        dict(cache=dict(path="cache", min_threshold=0.1)),
    ]
    for options in variants:
        RegionRetrievalHook(**dict(dict(teacher=STUDENT, cache=dict(path="cache")), **options)).before_train(runner)
    pipeline = runner.train_dataloader.dataset.dataset.pipeline.transforms
    pipeline[1].antialias = False
    RegionRetrievalHook(STUDENT, cache=dict(path="cache")).before_train(runner)
    assert len(list(Path("cache").glob("*/key.json"))) == len(variants) + 1


def test_crops_are_kept_grid_by_grid_as_they_are_asked_for(runner, targets) -> None:
    options = dict(with_logits=True, cache=dict(path="cache"))
    plain = start(CropTeacherHook, runner, with_logits=True)
    hook = start(CropTeacherHook, runner, **options)
    seen = watch(hook)
    first = targets(hook, range(4))
    assert equal(first, targets(plain, range(4)))
    assert len(seen) == 4
    assert equal(targets(hook, range(4)), first)
    assert len(seen) == 4
    assert equal(targets(hook, range(4), epoch=1), targets(plain, range(4), epoch=1))
    assert len(seen) > 4  # grids that were not asked for before
    hook.after_train(runner)
    later = start(CropTeacherHook, runner, **options)
    assert equal(targets(later, range(4)), first)
    assert later.teacher is None


def test_half_precision_crops_are_near(runner, targets) -> None:
    plain = start(CropTeacherHook, runner)
    hook = start(CropTeacherHook, runner, cache=dict(path="cache", dtype="float16"))
    for ours, theirs in zip(targets(hook, range(2)), targets(plain, range(2)), strict=True):
        torch.testing.assert_close(ours["teacher_features"], theirs["teacher_features"], rtol=1e-3, atol=1e-4)


def test_batches_in_other_precisions_are_not_split(runner, targets) -> None:
    hook = start(RegionRetrievalHook, runner, dtype="bfloat16", cache=dict(path="cache", min_threshold=0.0))
    seen = watch(hook)
    first = targets(hook, [0, 1, 2])
    assert equal(targets(hook, [0, 1, 2]), first)
    targets(hook, [1, 3, 4])
    assert seen == [3, 2]
    plain = start(RegionRetrievalHook, runner, dtype="bfloat16")
    for ours, theirs in zip(first, targets(plain, [0, 1, 2]), strict=True):
        torch.testing.assert_close(ours["teacher_logits"], theirs["teacher_logits"], rtol=0, atol=0.02)


def test_building_a_teacher_late_draws_nothing_from_the_generators_of_the_run(runner, targets) -> None:
    hook = start(RegionRetrievalHook, runner, cache=dict(path="cache"))
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    targets(hook, [0])
    assert torch.equal(torch.rand(1), expected)


def test_two_hooks_share_a_teacher_that_is_built_late(runner, targets) -> None:
    runner.hooks = [
        RegionRetrievalHook(STUDENT, cache=dict(path="cache")),
        CropTeacherHook(STUDENT, cache=dict(path="cache")),
    ]
    for hook in runner.hooks:
        hook.before_train(runner)
    assert all(hook.teacher is None for hook in runner.hooks)
    for hook in runner.hooks:
        targets(hook, [0])
    assert runner.hooks[0].teacher is runner.hooks[1].teacher


def test_what_does_not_allow_a_cache_is_an_error_before_the_first_step(runner, model, monkeypatch) -> None:
    hook = RegionRetrievalHook(STUDENT, cache=dict(path="cache"))
    monkeypatch.setattr(model.loss_module, "threshold", 0.1)
    with pytest.raises(ValueError, match=r"threshold=0\.1"):
        hook.before_train(runner)
    monkeypatch.undo()
    runner.train_dataloader.dataset.dataset.pipeline.transforms.pop(2)
    with pytest.raises(ValueError, match="one GridRegions"):
        hook.before_train(runner)
    with pytest.raises(ValueError, match="unknown cache option 'min_threshold'"):
        CropTeacherHook(STUDENT, cache=dict(path="cache", min_threshold=0.3))
