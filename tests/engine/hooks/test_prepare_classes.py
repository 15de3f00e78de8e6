"""When classes are prepared, in runs of mmengine's Runner."""

from pathlib import Path

import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

import densevlm_mm.engine  # noqa: F401


class Head(nn.Module):
    """Notes what it is asked to prepare."""

    def __init__(self, notes: list) -> None:
        super().__init__()
        self.notes = notes

    def prepare_classes(self, training: bool) -> None:
        self.notes.append("training classes" if training else "test classes")


class Model(BaseModel):
    """A parameter, and a head that has classes."""

    def __init__(self, notes: list) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.head = Head(notes)

    def forward(self, inputs, mode="tensor"):
        self.head.notes.append(mode)
        return dict(loss=self.weight.sum()) if mode == "loss" else [0]


class Count(BaseMetric):
    """Counts what was predicted."""

    def process(self, data_batch, data_samples) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list) -> dict:
        return dict(count=len(results))


@pytest.fixture
def run(tmp_path: Path):
    def run(phase: str, validates: bool = True) -> list[str]:
        notes: list[str] = []
        loader = dict(dataset=[dict(inputs=torch.zeros(1))], batch_size=1, sampler=dict(type="DefaultSampler"))
        training = dict(
            train_dataloader=loader,
            train_cfg=dict(by_epoch=True, max_epochs=1),
            optim_wrapper=dict(optimizer=dict(type="SGD", lr=0.1)),
        )
        validation = dict(val_dataloader=loader, val_cfg=dict(), val_evaluator=Evaluator(Count()))
        testing = dict(test_dataloader=loader, test_cfg=dict(), test_evaluator=Evaluator(Count()))
        parts = {"train": {**training, **(validation if validates else {})}, "val": validation, "test": testing}[phase]
        hook = dict(type="densevlm_mm.PrepareClassesHook")
        runner = Runner(
            Model(notes), str(tmp_path), experiment_name=tmp_path.name, custom_hooks=[hook], log_level="ERROR", **parts
        )
        getattr(runner, phase)()
        return list(dict.fromkeys(notes))

    return run


def test_training_prepares_both_vocabularies_before_its_first_step(run) -> None:
    assert run("train") == ["training classes", "test classes", "loss", "predict"]


def test_training_without_validation_prepares_its_own_alone(run) -> None:
    assert run("train", validates=False) == ["training classes", "loss"]


@pytest.mark.parametrize("phase", ["val", "test"])
def test_predictions_prepare_the_test_vocabulary_alone(run, phase) -> None:
    assert run(phase) == ["test classes", "predict"]
