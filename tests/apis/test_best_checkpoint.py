"""``save_best`` and the metrics of the validation fit each other, or the run does not start."""

import pytest
from mmengine.config import Config

from densevlm_mm.apis import check_inputs, disable_validation
from densevlm_mm.apis.best_checkpoint import check_save_best


def config(evaluator: dict | list | None, scope: str = "densevlm_mm", **hook: object) -> Config:
    checkpoint = dict(type="densevlm_mm.AtomicCheckpointHook", **hook)
    return Config(dict(default_scope=scope, val_evaluator=evaluator, default_hooks=dict(checkpoint=checkpoint)))


REGION = dict(type="RegionClassificationMetric")
COCO = dict(type="CocoMetric", metric=["bbox", "segm"])


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (config(REGION, save_best="mIoU"), "save_best='mIoU' is no figure of val_evaluator; there are region/boxes"),
        (config(REGION, save_best="boxes_top1"), "did you mean 'region/boxes_top1'"),
        (config(COCO, "mmdet", save_best=["coco/bbox_mAP", "coco/segm_map"]), "did you mean 'coco/segm_mAP'"),
        (config(dict(type="mmseg.IoUMetric"), "mmseg", save_best="mDice"), "'mDice' is no figure"),
        (config(REGION, save_best="region/foreground_bias"), "set default_hooks.checkpoint.rule=greater, or less"),
        (config(None, save_best="region/boxes_top1"), "needs a validation.* default_hooks.checkpoint.save_best=None"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_fix(cfg: Config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_save_best(cfg)


@pytest.mark.parametrize(
    "cfg",
    [
        config(REGION),
        config(REGION, save_best="auto"),
        config(REGION, save_best="region/foreground_bias", rule="less"),
        config([COCO, COCO | dict(prefix="again")], "mmdet", save_best="again/segm_mAP_50"),
        config(COCO | dict(classwise=True), "mmdet", save_best="coco/boat_precision"),
        config(dict(type="DumpResults", out_file_path="x.pkl"), save_best="mAP_of_mine"),
    ],
)
def test_what_may_fit_passes(cfg: Config) -> None:
    check_save_best(cfg)


def test_a_training_is_checked_before_its_files() -> None:
    with pytest.raises(ValueError, match="save_best"):
        check_inputs(config(REGION, save_best="mIoU"), "train")


def test_without_validation_there_is_no_best_checkpoint() -> None:
    cfg = config(REGION, save_best="region/foreground_bias", rule="less", interval=3)
    disable_validation(cfg)
    check_save_best(cfg)
    assert (cfg.val_evaluator, cfg.val_dataloader, cfg.val_cfg) == (None, None, None)
    assert cfg.default_hooks.checkpoint == dict(type="densevlm_mm.AtomicCheckpointHook", interval=3)
