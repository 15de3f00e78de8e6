import json

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from safetensors.torch import save_file
from torch.nn.functional import cosine_similarity

from densevlm_mm.analysis import AnalysisModel, RegionScores, collect_region_scores


def test_scores_are_cosines_of_pooled_regions_with_the_classes(make_model) -> None:
    model = make_model()
    scores = collect_region_scores(model)
    assert scores.vocabulary.num_things == 20

    batch = next(iter(Runner.build_dataloader(model.cfg.test_dataloader)))
    text = model.class_embeddings().embeddings
    row = 0
    for inputs, sample in zip(batch["inputs"], batch["data_samples"], strict=True):
        dense = model.dense(inputs[None])[0]
        for label, mask in zip(sample.gt_regions.labels, sample.gt_regions.masks, strict=True):
            feature = dense[:, mask].mean(dim=1)
            assert scores.labels[row] == label
            if mask.any():
                expected = cosine_similarity(feature[None], text)
                torch.testing.assert_close(scores.mask_scores[row], expected, atol=1e-5, rtol=0)
            row += 1
    assert row > 10


def test_figures_are_those_of_the_test_tool(make_model, tmp_path) -> None:
    model = make_model()
    runner_cfg = Config(
        dict(
            model=model.cfg.model.to_dict(),
            test_dataloader=model.cfg.test_dataloader.to_dict(),
            test_evaluator=dict(type="RegionClassificationMetric"),
            test_cfg=dict(type="TestLoop"),
            default_scope="densevlm_mm",
            work_dir=str(tmp_path),
        )
    )
    expected = Runner.from_cfg(runner_cfg).test()
    metrics = collect_region_scores(model).evaluate()
    assert {f"region/{name}": value for name, value in metrics.items()} == pytest.approx(expected, nan_ok=True)


def test_masks_without_a_cell_have_no_prediction(make_scores) -> None:
    scores = make_scores()
    predicted = scores.predictions("masks")
    assert torch.equal(predicted == -1, scores.mask_empty)
    assert scores.mask_empty.any()
    assert torch.equal(scores.predictions("boxes"), scores.box_scores.argmax(dim=1))
    with pytest.raises(ValueError, match="not 'points'"):
        scores.scores("points")


def test_the_per_class_table_is_written(make_scores, tmp_path) -> None:
    make_scores().evaluate(str(tmp_path / "table"))
    assert [row["name"] for row in json.loads((tmp_path / "table.json").read_text())["classes"]] == list("abcdefg")


def test_saved_scores_come_back(make_scores, tmp_path) -> None:
    scores = make_scores()
    scores.save(tmp_path / "new" / "scores.safetensors")
    loaded = RegionScores.load(tmp_path / "new" / "scores.safetensors")
    assert loaded.vocabulary.classes == scores.vocabulary.classes
    assert loaded.evaluate() == pytest.approx(scores.evaluate())
    assert torch.equal(loaded.mask_empty, scores.mask_empty)


def test_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        RegionScores.load(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match="holds no region scores"):
        RegionScores.load(tmp_path / "x.safetensors")
    (tmp_path / "y.safetensors").write_text("nothing")
    with pytest.raises(ValueError, match="is damaged"):
        RegionScores.load(tmp_path / "y.safetensors")


def test_a_cached_pass_is_not_made_again_and_other_weights_are(make_model, tmp_path, monkeypatch) -> None:
    first = collect_region_scores(make_model(), tmp_path / "cache")
    passes = []
    build = AnalysisModel.build_pretrainer
    monkeypatch.setattr(AnalysisModel, "build_pretrainer", lambda self: passes.append(self) or build(self))
    again = collect_region_scores(make_model(), tmp_path / "cache")
    assert passes == []
    assert torch.equal(again.mask_scores, first.mask_scores)

    trained = make_model().encoder.state_dict()
    trained = {f"encoder.{name}": value * (1.1 if "blocks" in name else 1) for name, value in trained.items()}
    torch.save(dict(state_dict=trained, meta={}), tmp_path / "iter_1.pth")
    other = collect_region_scores(make_model(str(tmp_path / "iter_1.pth")), tmp_path / "cache")
    assert len(passes) == 1
    assert not torch.equal(other.mask_scores, first.mask_scores)


def test_another_vocabulary_than_the_data_sets_is_refused(make_model) -> None:
    model = make_model()
    model.cfg.model.test_class_embeddings.vocabulary = "coco_panoptic_133"
    with pytest.raises(ValueError, match=r"has 133 classes .* data 32"):
        collect_region_scores(model)
