import shutil
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from densevlm_mm.engine.hooks import CompileHook, RegionRetrievalHook, RetentionHook
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.text import ClassEmbeddings
from densevlm_mm.structures import RegionDataSample


def embeddings(dim: int, model: str) -> ClassEmbeddings:
    text = torch.randn(6, dim, generator=torch.Generator().manual_seed(2))
    names = tuple("abcdef")
    return ClassEmbeddings(
        name="test",
        classes=names,
        is_thing=torch.tensor([True] * 4 + [False] * 2).numpy(),
        embeddings=nn.functional.normalize(text, dim=-1),
        model=model,
        templates="plain",
        normalization="class",
        fingerprint="",
    )


def losses(assets, compiled: bool, dtype: str) -> list[float]:
    """Train two steps on noise."""
    torch.compiler.reset()
    teacher, student = (
        dict(type="DenseImageEncoder", checkpoint=str(assets / f"tiny_scenes_{name}.safetensors"))
        for name in ("teacher", "student")
    )
    hook = RegionRetrievalHook(teacher, embeddings(128, "TinyScenes-T"), dtype=dtype)
    retention = RetentionHook(student, dtype=dtype)
    align, retain = dict(type="DecoupledAlignmentLoss", threshold=0.0), dict(type="RetentionLoss")
    loss = dict(type="WeightedLosses", losses=dict(align=align, retain=retain), weights=dict(align=1.0, retain=1.0))
    model = RegionPretrainer(dict(student, trainable="blocks"), loss, embeddings(128, "TinyScenes-S")).train()
    hooks = [CompileHook(dict(backend="aot_eager"))] if compiled else []
    runner = SimpleNamespace(model=model, cfg=ConfigDict(model={}), optim_wrapper=None, hooks=[*hooks, hook, retention])
    runner._resume = False
    for each in runner.hooks:
        each.before_run(runner)
    for each in (hook, retention):
        each.before_train(runner)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.01)
    found = []
    for step in range(2):
        generator = torch.Generator().manual_seed(step)
        images = torch.randint(0, 255, (2, 3, 64, 64), generator=generator, dtype=torch.uint8)
        boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
        shape = dict(img_shape=(48, 64))
        samples = [RegionDataSample(regions=InstanceData(boxes_norm_xyxy=boxes), metainfo=shape) for _ in images]
        batch = dict(inputs=list(images), data_samples=samples)
        for each in (hook, retention):
            each.before_train_iter(runner, step, batch)
        data = model.data_preprocessor(batch, training=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bfloat16"):
            value, _ = model.parse_losses(model(**data, mode="loss"))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(float(value.detach()))
    assert bool(hook.teacher._tower._compiled) == bool(model.encoder._tower._compiled) == compiled
    return found


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_compiled_student_and_teacher_have_the_same_losses(request, dtype, tolerance) -> None:
    assets = request.config.rootpath / "densevlm_mm/tiny_scenes/assets"
    assert losses(assets, True, dtype) == pytest.approx(losses(assets, False, dtype), rel=tolerance)


def test_nothing_to_compile_is_an_error() -> None:
    with pytest.raises(ValueError, match="this model has none"):
        CompileHook(dict(backend="eager")).before_run(SimpleNamespace(model=nn.Linear(1, 1), hooks=[]))


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU Inductor needs Triton alone")
def test_a_missing_compiler_is_named_before_the_run(monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ValueError, match=r"found neither g\+\+ nor clang"):
        CompileHook()
    CompileHook(dict(backend="aot_eager"))
