import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS
from mmengine.runner import Runner, loops

from densevlm_mm.apis import build_runner, enable_outputs, enable_synonyms, load_experiment
from densevlm_mm.engine.loops.synonym_test import compare_figures, describe_comparison, vocabulary_of_predictions
from densevlm_mm.tiny_scenes import generate_tiny_scenes
from densevlm_mm.vocabulary.synonyms import SynonymVocabulary

ROOT = Path(__file__).resolve().parents[3]
STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"


@METRICS.register_module(force=True)
class SumOfScores(BaseMetric):
    """A figure of all scores, which a model that was never trained has too."""

    default_prefix = "sum"

    def process(self, data_batch: Any, data_samples: list[dict]) -> None:
        for sample in data_samples:
            scores = sample["pred_instances"]["scores"] if "pred_instances" in sample else sample["seg_logits"]["data"]
            weights = torch.arange(1, scores.numel() + 1, dtype=torch.float64).sin()
            self.results.append(float((scores.double().flatten() * weights).sum()))

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return dict(scores=sum(results), num_images=len(results))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    generate_tiny_scenes(root, num_train=2, num_val=5, seed=0)
    return root


@pytest.fixture
def load(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(ROOT)

    def load_config(name: str, synonyms: str = "tiny_scenes", **options: Any) -> Config:
        loader = {"test_dataloader.dataset.data_root": str(world), "test_dataloader.num_workers": 0}
        loader |= {"test_dataloader.batch_size": 2, "test_dataloader.persistent_workers": False}
        cfg = load_experiment(f"configs/tiny/{name}.py", {**loader, **options}, str(tmp_path / "run"))
        enable_synonyms(cfg, synonyms)
        return cfg

    return load_config


def plain_test(runner: Runner, cfg: Config) -> dict[str, float]:
    return loops.TestLoop(runner, runner.test_loop.dataloader, cfg.test_evaluator).run()


def test_regions_are_scored_by_both_vocabularies_and_encoded_once(load, tmp_path, monkeypatch) -> None:
    cfg = load("densevlm")
    enable_outputs(cfg, str(tmp_path / "table.json"))
    runner = build_runner(cfg)
    model = runner.model
    num_passes = []
    dense = model.encoder.dense
    monkeypatch.setattr(model.encoder, "dense", lambda images: num_passes.append(len(images)) or dense(images))
    found = runner.test()
    assert sum(num_passes) == 5
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)

    cfg.test_evaluator.pop("outfile_prefix")
    first = plain_test(runner, cfg)
    assert {key: found[key] for key in first} == pytest.approx(first, nan_ok=True)
    vocabulary = SynonymVocabulary.of(model.predicted_vocabulary(), "tiny_scenes")
    model._test_classes = model._test_classes.with_vocabulary(vocabulary)
    second = plain_test(runner, cfg)
    compared = {key.removeprefix("synonyms/"): value for key, value in found.items() if key.startswith("synonyms/")}
    assert compared == {key: second[key] for key in compared}
    assert "region/boxes_top1" in compared
    assert "region/num_things" not in compared
    assert compared != {key: first[key] for key in compared}

    written = json.loads((tmp_path / "table.json").read_text())
    assert written["metrics"]["boxes_top1"] == first["region/boxes_top1"]
    row = written["synonyms"]["figures"]["region/boxes_top1"]
    assert row["drop"] == pytest.approx(first["region/boxes_top1"] - second["region/boxes_top1"])
    assert written["synonyms"]["num_replaced"] == 22
    assert (tmp_path / "table_synonyms.csv").is_file()
    [log] = (tmp_path / "run").glob("*/*.log")
    text = log.read_text()
    assert "22 of 32 classes are asked for by other names; 10 keep theirs (surfboard, kite, " in text
    assert re.search(r"names +synonyms +drop\nregion/boxes_top1 ", text)
    [figures] = [path for path in log.parent.glob("*.json")]
    assert json.loads(figures.read_text())["synonyms"] == written["synonyms"]


@pytest.mark.parametrize("name", ["fvit_original", "san_original", "cat_seg_original"])
def test_detectors_and_segmentors_predict_by_both_vocabularies(load, name) -> None:
    torch.manual_seed(0)
    cfg = load(name)
    cfg.test_evaluator = [dict(type="SumOfScores")]
    runner = build_runner(cfg)
    before = runner.model.predicted_classes()
    found = runner.test()
    assert found["synonyms/sum/scores"] != found["sum/scores"]
    assert runner.model.predicted_classes() == before
    assert plain_test(runner, cfg)["sum/scores"] == pytest.approx(found["sum/scores"], rel=1e-6)
    vocabulary = SynonymVocabulary.of(vocabulary_of_predictions(runner.model), "tiny_scenes")
    runner.model.set_vocabulary(vocabulary)
    assert plain_test(runner, cfg)["sum/scores"] == pytest.approx(found["synonyms/sum/scores"], rel=1e-6)


def test_novel_classes_stay_novel(load) -> None:
    runner = build_runner(load("fvit_original"))
    head = copy.deepcopy(runner.model.roi_head.bbox_head)
    head.set_vocabulary(SynonymVocabulary.of(head.vocabulary, "tiny_scenes"))
    assert torch.equal(head.is_novel, runner.model.roi_head.bbox_head.is_novel)
    assert head.classes == runner.model.roi_head.bbox_head.classes


def test_what_is_wrong_with_synonyms_stops_before_the_first_image(load, tmp_path, monkeypatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"file of synonyms nowhere\.json does not exist"):
        load("densevlm", "nowhere.json")
    table = tmp_path / "table.json"
    table.write_text('{"boat": "plane"}')
    runner = build_runner(load("densevlm", str(table)))
    monkeypatch.setattr(runner.model, "test_step", None)
    with pytest.raises(ValueError, match="'plane' is to stand for 'boat', but is a name of 'plane' too"):
        runner.test()


def test_a_loop_of_another_kind_is_not_replaced(load) -> None:
    cfg = load("densevlm")
    cfg.test_cfg = dict(type="MyLoop")
    with pytest.raises(ValueError, match=r"test_cfg\.type of the config is MyLoop"):
        enable_synonyms(cfg, "tiny_scenes")


def test_figures_without_a_drop_are_left_out() -> None:
    first = dict(ap=0.5, absent=-1.0, text="0.5 0.4", num_things=3, missing=1.0)
    first |= {"region/coherence_auc": 0.7, "region/nothing": float("nan"), "region/bias": 40.0}
    second = dict(first, ap=0.4) | {"region/bias": 45.0}
    del second["missing"]
    rows = compare_figures(first, second)
    assert rows.keys() == {"ap", "region/bias"}
    assert rows["ap"]["drop"] == pytest.approx(0.1)
    lines = describe_comparison(rows).splitlines()
    assert lines[2].split() == ["ap", "0.5000", "0.4000", "0.1000"]
    assert lines[3].split() == ["region/bias", "40.00", "45.00", "-5.00"]


def test_a_model_without_classes_of_text_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear has no vocabulary, its classes are fixed"):
        vocabulary_of_predictions(torch.nn.Linear(1, 1))
