import hashlib
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.runner import BaseLoop, Runner
from mmseg.datasets.transforms import LoadAnnotations, ResizeShortestEdge
from PIL import Image

import densevlm_mm  # noqa: F401
from densevlm_mm.engine.hooks.evaluation_record import describe, evaluation_record
from densevlm_mm.evaluation.class_table import WritesClassTable
from densevlm_mm.registry import METRICS, MODELS


@MODELS.register_module()
class NamesItsClasses(BaseModel):
    def forward(self, inputs: Any, data_samples: Any = None, mode: str = "tensor") -> Any:
        return data_samples

    def vocabulary_facts(self) -> dict[str, Any]:
        return dict(vocabulary="two", num_classes=2, templates="plain")


@METRICS.register_module()
class Counts(WritesClassTable, BaseMetric):
    def __init__(self, outfile_prefix: str | None = None) -> None:
        super().__init__()
        self.outfile_prefix = outfile_prefix

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list) -> dict[str, float]:
        self.num_regions = 7
        figures = dict(stuff=float("nan"), count=3)
        self.write_class_table(figures, dict(name=["a"]))
        return figures


class AtIteration40(BaseLoop):
    iter = 40

    def run(self) -> None:
        pass


@pytest.fixture
def cfg(tmp_path: Path) -> Config:
    for name in ("1.png", "2.png"):
        Image.new("RGB", (9, 7)).save(tmp_path / name)
    pipeline = [
        dict(type="LoadImage"),
        dict(type="ResizeLongestSide", size=8),
        dict(type="PadToSquare", size=16),
        dict(type="PackRegionInputs"),
    ]
    return Config(
        dict(
            default_scope="densevlm_mm",
            experiment_name=f"record_{tmp_path.name}",
            work_dir=str(tmp_path / "work"),
            model=dict(type="NamesItsClasses"),
            test_dataloader=dict(
                batch_size=2,
                sampler=dict(type="DefaultSampler", shuffle=False),
                dataset=dict(type="UnlabeledImageDataset", source=str(tmp_path), pipeline=pipeline, test_mode=True),
            ),
            test_evaluator=dict(type="Counts", outfile_prefix=str(tmp_path / "table")),
            test_cfg=dict(type="TestLoop"),
            default_hooks=dict(
                checkpoint=None,
                evaluation_record=dict(type="EvaluationRecordHook", out_file=str(tmp_path / "out.json")),
            ),
        )
    )


def test_log_and_files_say_what_the_figures_are_of(cfg: Config, tmp_path: Path) -> None:
    torch.save(dict(state_dict={}), tmp_path / "weights.pth")
    cfg.load_from = str(tmp_path / "weights.pth")
    runner = Runner.from_cfg(cfg)
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    runner.logger.addHandler(handler)
    runner.test()
    size = (tmp_path / "1.png").stat().st_size
    record = dict(
        checkpoint=str(tmp_path / "weights.pth"),
        data=str(tmp_path),
        data_sha256=hashlib.sha256("".join(f"{n}.png {size}\n" for n in (1, 2)).encode()).hexdigest(),
        classes=dict(vocabulary="two", num_classes=2, templates="plain"),
        canvas="ResizeLongestSide(size=8), PadToSquare(size=(16, 16))",
        image_interpolation="bicubic, antialiased",
        num_images=2,
        num_regions=7,
    )
    assert lines[-1] == (
        f"evaluated: checkpoint {tmp_path}/weights.pth; data {tmp_path}; data_sha256 {record['data_sha256']}; classes "
        "(vocabulary two, num_classes 2, templates plain); canvas ResizeLongestSide(size=8), PadToSquare(size=(16, "
        "16)); image_interpolation bicubic, antialiased; num_images 2; num_regions 7"
    )
    assert json.loads((tmp_path / "table.json").read_text()) == dict(
        metrics=dict(stuff=None, count=3), evaluation=record, classes=[dict(name="a")]
    )
    assert json.loads((tmp_path / "out.json").read_text()) == dict(metrics=dict(stuff=None, count=3), evaluation=record)
    log = json.loads((Path(runner.log_dir) / f"{runner.timestamp}.json").read_text())
    assert (log["stuff"], log["count"], log["evaluation"]) == (None, 3, record)


@pytest.mark.parametrize(("ensemble", "alpha"), [(dict(alpha=0.75, initial_state_dict={}), 0.75), (None, None)])
def test_alpha_is_told_where_the_ensemble_is_evaluated(cfg: Config, tmp_path: Path, ensemble: Any, alpha: Any) -> None:
    torch.save(dict(state_dict={}) | (dict(weight_ensemble=ensemble) if ensemble else {}), tmp_path / "weights.pth")
    cfg.load_from = str(tmp_path / "weights.pth")
    cfg.default_hooks.weight_ensemble = dict(type="WeightEnsembleHook", alpha=0.75)
    Runner.from_cfg(cfg).test()
    assert json.loads((tmp_path / "table.json").read_text())["evaluation"].get("alpha") == alpha


def test_an_evaluation_while_training_names_the_iteration(cfg: Config) -> None:
    runner = Runner.from_cfg(cfg)
    runner._train_loop = AtIteration40(runner, runner.test_dataloader)
    record = evaluation_record(runner, runner.test_dataloader.dataset)
    assert record["checkpoint"] == f"iteration 40 of {runner.work_dir}"


def test_label_maps_are_resized_only_if_they_are_loaded_before(cfg: Config) -> None:
    runner = Runner.from_cfg(cfg)
    resize, load = ResizeShortestEdge(scale=640, max_size=2560), LoadAnnotations()
    for steps, expected in (([resize, load], "none, label maps keep their size"), ([load, resize], "nearest")):
        record = evaluation_record(runner, Wrapper(SimpleNamespace(pipeline=SimpleNamespace(transforms=steps))))
        assert record["mask_interpolation"] == expected
        assert record["image_interpolation"] == "bilinear"
        assert record["canvas"] == "ResizeShortestEdge(scale=640, max_size=2560)"


@pytest.mark.parametrize(
    ("options", "file"),
    [
        (dict(class_embeddings="a.safetensors"), "a.safetensors"),
        (dict(module=dict(roi_head=dict(bbox_head=dict(class_embeddings=dict(file="a.npz"))))), "a.npz"),
        (dict(class_embeddings="a.safetensors", test_class_embeddings=dict(vocabulary="x")), None),
        (dict(class_embeddings=dict(vocabulary="x"), test_class_embeddings=dict(file="b.npz")), "b.npz"),
        (dict(type="NamesItsClasses"), None),
    ],
)
def test_embeddings_from_a_file_are_told_by_it(cfg: Config, options: dict, file: str | None) -> None:
    runner = Runner.from_cfg(cfg)
    runner.cfg.model = options
    record = evaluation_record(runner, runner.test_dataloader.dataset)
    assert record["classes"].get("file") == file


class Wrapper:
    """A data set around a data set."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return 1


def test_a_record_is_one_line() -> None:
    assert (
        describe(dict(checkpoint="a.pth", classes=dict(x=1, y="z")))
        == "evaluated: checkpoint a.pth; classes (x 1, y z)"
    )
