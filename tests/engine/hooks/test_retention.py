"""RetentionHook, its loss and the student's views together, on the tiny student."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch._subclasses.fake_tensor import FakeTensorMode

from densevlm_mm.engine.hooks import CropTeacherHook, RetentionHook, WeightEnsembleHook
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.layers import view_box
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.pretrainers.targets import collect_target
from densevlm_mm.structures import RegionDataSample

ASSETS = Path(__file__).resolve().parents[3] / "densevlm_mm/tiny_scenes/assets"
STUDENT, TEACHER = (
    dict(type="DenseImageEncoder", checkpoint=str(ASSETS / f"tiny_scenes_{name}.safetensors"))
    for name in ("student", "teacher")
)
SHAPES = ((48, 64), (64, 40), (64, 64))


def runner_of(*hooks, trainable: str = "blocks", resume: bool = False, **encoder) -> SimpleNamespace:
    encoder = dict(STUDENT, trainable=trainable, **encoder)
    model = RegionPretrainer(encoder, dict(type="RetentionLoss")).train()
    runner = SimpleNamespace(model=model, cfg=ConfigDict(model=dict(encoder=encoder)), hooks=hooks, _resume=resume)
    runner.optim_wrapper = SimpleNamespace()
    return runner


def batch(shapes: tuple = SHAPES) -> dict:
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(0, 255, (3, 64, 64), generator=generator, dtype=torch.uint8) for _ in shapes]
    for image, (height, width) in zip(images, shapes, strict=True):
        image[:, height:], image[:, :, width:] = 0, 0
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5]])
    samples = [
        RegionDataSample(regions=InstanceData(boxes_norm_xyxy=boxes), metainfo=dict(img_shape=s)) for s in shapes
    ]
    return dict(inputs=images, data_samples=samples)


def step(runner: SimpleNamespace, shapes: tuple = SHAPES) -> dict:
    """Targets, forward and backward pass of a step; returns what the loss returns."""
    data = batch(shapes)
    for hook in runner.hooks:
        hook.before_train_iter(runner, 0, data)
    out = runner.model(**runner.model.data_preprocessor(data, training=True), mode="loss")
    runner.model.zero_grad()
    out["loss"].backward()
    return out


def start(hook: RetentionHook, **options) -> SimpleNamespace:
    runner = runner_of(hook, **options)
    hook.before_train(runner)
    return runner


@pytest.mark.parametrize("view", ["centre", "whole"])
def test_targets_are_the_views_boxes_and_the_initial_students_embeddings_of_them(view: str) -> None:
    hook = RetentionHook(view=view)
    runner, data = start(hook, image_size=512), batch()  # what a user means to use the encoder at does not matter
    images = data["inputs"]
    hook.before_train_iter(runner, 0, data)
    encoder = DenseImageEncoder(checkpoint=STUDENT["checkpoint"])
    for image, shape, sample in zip(images, SHAPES, data["data_samples"], strict=True):
        torch.testing.assert_close(sample.view_norm_xyxy, view_box(shape, (64, 64), view))
        roi = torch.cat([torch.zeros(1), 64 * sample.view_norm_xyxy])[None]
        canvas = encoder.normalize(image.flip(0))[None]
        cut = torch.ops.torchvision.roi_align(canvas, roi, 1.0, 64, 64, -1, True)
        torch.testing.assert_close(sample.teacher_view, torch.nn.functional.normalize(encoder(cut)[0], dim=0))
        assert not sample.teacher_view.requires_grad


def test_loss_and_gradient_are_0_at_the_start() -> None:
    runner = start(RetentionHook())
    out = step(runner)
    assert out["loss"].item() == pytest.approx(0, abs=1e-6)
    assert out["cosine"].item() == pytest.approx(1, abs=1e-6)
    gradients = [parameter.grad.abs().max() for parameter in runner.model.parameters() if parameter.requires_grad]
    assert max(gradients) < 1e-5


def test_one_step_from_a_perturbed_student_raises_the_cosine_and_trains_the_blocks_alone() -> None:
    runner = start(RetentionHook())
    encoder = runner.model.encoder
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD(encoder.parameters(), lr=0.02)
    first = step(runner)
    optimizer.step()
    assert all(parameter.grad.abs().max() > 0 for parameter in trained)
    assert first["cosine"].item() < 0.99
    assert step(runner)["cosine"].item() > first["cosine"].item() + 1e-3
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert all(name.startswith("visual.trunk.blocks.") for name in changed)
    last = "visual.trunk.blocks.1.attn.qkv.weight"
    num_query_key = 2 * before[last].shape[1]
    assert torch.equal(encoder.state_dict()[last][:num_query_key], before[last][:num_query_key])


def test_an_image_narrower_than_a_patch_is_left_out_and_counted() -> None:
    runner = start(RetentionHook())
    with torch.no_grad():
        for parameter in runner.model.encoder.parameters():
            parameter.mul_(1 + 0.1 * parameter.requires_grad)
    expected, out = step(runner, SHAPES[:1]), step(runner, (SHAPES[0], (64, 7)))
    assert out["no_view"].item() == 0.5
    torch.testing.assert_close(out["cosine"], expected["cosine"])
    torch.testing.assert_close(out["loss"], expected["loss"])


def test_a_step_reads_nothing_back_from_the_device() -> None:
    hook = RetentionHook()
    runner = start(hook)
    with FakeTensorMode(allow_non_fake_inputs=True):  # values that are asked for are an error
        samples = batch()["data_samples"]
        targets = hook.compute_targets(torch.rand(3, 3, 64, 64), samples)
        hook.write_image_targets(samples, targets)
        runner.model(torch.rand(3, 3, 64, 64), samples, mode="loss")["loss"].backward()
    assert collect_target("teacher_view", samples).shape == (3, 128)


def test_clipself_has_the_same_teacher_once() -> None:
    retention, crops = RetentionHook(), CropTeacherHook(STUDENT)
    runner = runner_of(crops, retention, grad_checkpointing=True)
    for hook in runner.hooks:
        hook.before_train(runner)
    assert retention.teacher is crops.teacher


def test_another_teacher_than_the_initial_student_is_an_error(tmp_path) -> None:
    with pytest.raises(ValueError, match="not of the student's architecture"):
        start(RetentionHook(TEACHER))
    with pytest.raises(ValueError, match=r"other weights than .* began with .*blocks.*qkv"):
        start(RetentionHook(other_weights(tmp_path)))
    with pytest.raises(ValueError, match="checkpoint is 'random'"):
        start(RetentionHook(), model_name="TinyScenes-S", checkpoint="random")
    start(RetentionHook(dict(STUDENT, model_name="TinyScenes-S")))  # the same, said otherwise
    hook = RetentionHook(dtype="bfloat16")  # whose weights are held in that type
    start(hook)
    assert torch.bfloat16 in {parameter.dtype for parameter in hook.teacher.parameters()}


def other_weights(tmp_path: Path) -> dict:
    model = DenseImageEncoder(checkpoint=STUDENT["checkpoint"])
    state = model.state_dict()
    state["visual.trunk.blocks.1.attn.qkv.weight"] += 0.1
    torch.save(dict(state_dict=state), tmp_path / "other.pt")
    return dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint=str(tmp_path / "other.pt"))


def test_a_resumed_run_compares_with_what_the_training_began_with(tmp_path) -> None:
    ensemble, hook = WeightEnsembleHook(), RetentionHook()
    runner = runner_of(ensemble, hook, resume=True)
    initial = {f"encoder.{name}": value.clone() for name, value in runner.model.encoder.state_dict().items()}
    with torch.no_grad():
        for parameter in runner.model.encoder.parameters():
            parameter.mul_(1 + 0.1 * parameter.requires_grad)
    ensemble.initial = initial
    hook.before_train(runner)
    with pytest.raises(ValueError, match="other weights"):
        RetentionHook(other_weights(tmp_path)).before_train(runner)
    ensemble.initial = None  # nobody has kept them: only the frozen parts say something
    hook.before_train(runner)
    with torch.no_grad():
        runner.model.encoder.visual.trunk.pos_embed.mul_(1.1)
    with pytest.raises(ValueError, match=r"other weights .*pos_embed"):
        hook.before_train(runner)


def test_a_student_that_does_not_train_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"RetentionHook is for .*\.trainable='none' freezes all of it"):
        start(RetentionHook(), trainable="none")


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="'corner'"):
        RetentionHook(view="corner")
    with pytest.raises(ValueError, match="trainable"):
        RetentionHook(dict(STUDENT, trainable="blocks"))
