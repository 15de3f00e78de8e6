import pytest
from mmengine.config import Config
from mmengine.registry import MODELS

from densevlm_mm.apis import enable_outputs, enable_show, enable_tta


def config(metric: str, scope: str = "densevlm_mm") -> Config:
    dataset = dict(
        type="SeededDataset", dataset=dict(type="CocoDataset", pipeline=[dict(type="Load"), dict(type="Pack")])
    )
    return Config(
        dict(
            default_scope=scope,
            model=dict(type="Model"),
            test_evaluator=dict(type=metric),
            test_dataloader=dict(dataset=dataset),
            default_hooks=dict(visualization=dict(type="VisualizationHook")),
            visualizer=dict(type="Visualizer"),
        )
    )


def test_each_kind_of_output_goes_to_the_evaluator_that_writes_it() -> None:
    cfg = config("RegionClassificationMetric")
    enable_outputs(cfg, "results/table.csv")
    assert cfg.test_evaluator.outfile_prefix == "results/table"
    cfg = config("OpenVocabularyIoUMetric", "mmseg")
    enable_outputs(cfg, "results/table.json")
    enable_outputs(cfg, "maps")
    assert (cfg.test_evaluator.outfile_prefix, cfg.test_evaluator.output_dir) == ("results/table", "maps")
    assert "keep_results" not in cfg.test_evaluator
    cfg = config("CocoMetric", "mmdet")
    enable_outputs(cfg, "detections.pkl")
    assert cfg.test_evaluator[1] == dict(type="mmdet.DumpDetResults", out_file_path="detections.pkl")
    cfg = config("mmseg.IoUMetric", "mmseg")
    enable_outputs(cfg, "maps")
    assert cfg.test_evaluator.output_dir == "maps"


@pytest.mark.parametrize(("metric", "out"), [("CocoMetric", "x.csv"), ("RegionClassificationMetric", "folder")])
def test_what_an_evaluator_cannot_write_is_an_error(metric, out) -> None:
    with pytest.raises(ValueError, match=metric):
        enable_outputs(config(metric), out)


def test_show_dir() -> None:
    cfg = config("OpenVocabularyIoUMetric", "mmseg")
    enable_outputs(cfg, "results/table.json")
    enable_outputs(cfg, "maps")
    assert (cfg.test_evaluator.outfile_prefix, cfg.test_evaluator.output_dir) == ("results/table", "maps")
    assert "keep_results" not in cfg.test_evaluator
    cfg = config("CocoMetric", "mmdet")
    enable_show(cfg, "pictures")
    assert cfg.default_hooks.visualization.draw
    assert cfg.default_hooks.visualization.test_out_dir == "pictures"
    cfg = config("IoUMetric", "mmseg")
    enable_show(cfg, "pictures")
    assert cfg.visualizer.save_dir == "pictures"
    del cfg.default_hooks["visualization"]
    with pytest.raises(ValueError, match="visualization"):
        enable_show(cfg, "pictures")


def test_tta_wraps_the_model_or_says_that_there_is_none() -> None:
    cfg = config("OpenVocabularyIoUMetric", "mmseg")
    enable_outputs(cfg, "results/table.json")
    enable_outputs(cfg, "maps")
    assert (cfg.test_evaluator.outfile_prefix, cfg.test_evaluator.output_dir) == ("results/table", "maps")
    assert "keep_results" not in cfg.test_evaluator
    cfg = config("CocoMetric", "mmdet")
    enable_tta(cfg)
    import mmdet.models  # noqa: F401

    assert MODELS.get(cfg.model.type) is not None  # mmdet registers it at the root, not under its own scope
    assert cfg.model.module.type == "Model"
    assert cfg.test_dataloader.dataset.dataset.pipeline[-1].type == "TestTimeAug"
    with pytest.raises(ValueError, match="tta_model"):
        enable_tta(config("RegionClassificationMetric"))
