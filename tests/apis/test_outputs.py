from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import HOOKS, MODELS

from densevlm_mm.apis import enable_outputs, enable_show, enable_tta
from densevlm_mm.apis.components import component_class


def config(metric: str, scope: str = "densevlm_mm", hook: str = "VisualizationHook") -> Config:
    dataset = dict(
        type="SeededDataset", dataset=dict(type="CocoDataset", pipeline=[dict(type="Load"), dict(type="Pack")])
    )
    return Config(
        dict(
            default_scope=scope,
            model=dict(type="Model"),
            test_evaluator=dict(type=metric),
            test_dataloader=dict(dataset=dataset),
            default_hooks=dict(visualization=dict(type=hook)),
            visualizer=dict(type="Visualizer"),
        )
    )


def test_each_kind_of_output_goes_to_the_evaluator_that_writes_it() -> None:
    cfg = config("RegionClassificationMetric")
    enable_outputs(cfg, "results/table.csv")
    assert cfg.test_evaluator.outfile_prefix == "results/table"
    cfg = config("OpenVocabularyIoUMetric", "mmseg")
    enable_outputs(cfg, "maps")
    enable_outputs(cfg, "results/table.json")
    assert (cfg.test_evaluator.outfile_prefix, cfg.test_evaluator.output_dir) == ("results/table", "maps")
    cfg = config("CocoMetric", "mmdet")
    enable_outputs(cfg, "detections.pkl")
    assert cfg.test_evaluator[1] == dict(type="mmdet.WholeDumpDetResults", out_file_path="detections.pkl")


def test_a_metric_is_known_by_what_it_can_whatever_its_name() -> None:
    from mmseg.registry import METRICS

    from densevlm_mm.evaluation.ov_iou_metric import OpenVocabularyIoUMetric

    @METRICS.register_module(force=True)
    class SomebodysMetric(OpenVocabularyIoUMetric):
        pass

    cfg = config("SomebodysMetric", "mmseg")
    enable_outputs(cfg, "table.csv")
    enable_outputs(cfg, "maps")
    assert (cfg.test_evaluator.outfile_prefix, cfg.test_evaluator.output_dir) == ("table", "maps")


def test_mmsegs_metric_gets_a_writer_of_label_maps_beside_it() -> None:
    """It calls them as the image files, so that those of two folders replace each other."""
    cfg = config("IoUMetric", "mmseg")
    enable_outputs(cfg, "maps")
    own, writer = cfg.test_evaluator
    assert own == dict(type="IoUMetric")
    assert (writer.type, writer.output_dir, writer.format_only) == ("mmseg.OpenVocabularyIoUMetric", "maps", True)


def test_figures_of_a_detector_go_into_a_json_file() -> None:
    cfg = config("CocoMetric", "mmdet")
    enable_outputs(cfg, "figures.json")
    assert cfg.default_hooks.evaluation_record == dict(type="densevlm_mm.EvaluationRecordHook", out_file="figures.json")
    cfg.default_hooks = dict(mine=dict(type="EvaluationRecordHook"))
    enable_outputs(cfg, "other.json")
    assert cfg.default_hooks == dict(mine=dict(type="EvaluationRecordHook", out_file="other.json"))


@pytest.mark.parametrize(
    ("metric", "scope", "out"),
    [("CocoMetric", "densevlm_mm", "x.csv"), ("RegionClassificationMetric", "densevlm_mm", "folder")],
)
def test_what_an_evaluator_cannot_write_is_an_error(metric: str, scope: str, out: str) -> None:
    with pytest.raises(ValueError, match=metric):
        enable_outputs(config(metric, scope), out)


@pytest.mark.parametrize(
    ("scope", "hook", "expected"),
    [
        ("densevlm_mm", "RegionVisualizationHook", "RegionVisualizationHook"),
        ("mmdet", "NamedDetVisualizationHook", "NamedDetVisualizationHook"),
        ("mmdet", "DetVisualizationHook", "NamedDetVisualizationHook"),  # mmdet's names pictures by file names alone
        ("mmseg", "LegendSegVisualizationHook", "LegendSegVisualizationHook"),
        ("mmseg", "SegVisualizationHook", "LegendSegVisualizationHook"),
    ],
)
def test_pictures_of_every_family_go_into_the_folder_and_are_named_apart(scope: str, hook: str, expected: str) -> None:
    import densevlm_mm.detection
    import densevlm_mm.segmentation  # noqa: F401

    cfg = config("Metric", scope, hook)
    enable_show(cfg, "pictures")
    shown = cfg.default_hooks.visualization
    assert (shown.draw, shown.test_out_dir) == (True, "pictures")
    assert component_class(cfg, HOOKS, shown).__name__ == expected  # type: ignore[union-attr]
    assert cfg.default_hooks.output_names.type == "densevlm_mm.OutputNameHook"
    assert "densevlm_mm" in cfg.custom_imports.imports  # so that the config that the run dumps can be run again
    assert ("densevlm_mm.segmentation" in cfg.custom_imports.imports) == (hook == "SegVisualizationHook")


def test_a_users_own_hook_stays() -> None:
    cfg = config("IoUMetric", "mmseg", "SomebodysHook")
    enable_show(cfg, "pictures")
    assert cfg.default_hooks.visualization == dict(type="SomebodysHook", draw=True)
    assert cfg.visualizer.save_dir == "pictures"


def test_without_a_hook_there_are_no_pictures() -> None:
    cfg: Any = config("IoUMetric", "mmseg")
    del cfg.default_hooks["visualization"]
    with pytest.raises(ValueError, match="visualization"):
        enable_show(cfg, "pictures")


def test_tta_wraps_the_model_or_says_that_there_is_none() -> None:
    cfg = config("CocoMetric", "mmdet")
    enable_tta(cfg)
    import mmdet.models  # noqa: F401

    assert MODELS.get(cfg.model.type) is not None  # mmdet registers it at the root, not under its own scope
    assert cfg.model.module.type == "Model"
    assert cfg.test_dataloader.dataset.dataset.pipeline[-1].type == "TestTimeAug"
    with pytest.raises(ValueError, match="tta_model"):
        enable_tta(config("RegionClassificationMetric"))
