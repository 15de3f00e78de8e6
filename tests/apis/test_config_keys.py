"""Keys that nothing reads are refused before anything is built."""

import pytest
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from torch import nn

from densevlm_mm.apis import load_experiment
from densevlm_mm.apis.config_keys import accepted_parameters, check_config_keys
from densevlm_mm.engine.hooks import AtomicCheckpointHook

CONFIG = "configs/tiny/densevlm.py"


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    {
        "model.loss.treshold": "threshold",
        "model.class_embeddings.templats": "templates",
        "default_hooks.teacher.teacher.chekpoint": "checkpoint",
        "default_hooks.checkpoint.max_keep_ckpt": "max_keep_ckpts",
        "train_dataloader.batchsize": "batch_size",
        "train_dataloader.sampler.shufle": "shuffle",
        "train_dataloader.dataset.dataset.pipeline.2.max_gird": "max_grid",
        "optim_wrapper.clip_grads": "clip_grad",
        "optim_wrapper.optimizer.weight_decy": "weight_decay",
        "param_scheduler.0.start_facter": "start_factor",
        "train_cfg.max_epoch": "max_epochs",
        "val_evaluator.outfile": "outfile_prefix",
        "randomness.sead": "seed",
    }.items(),
)
def test_a_mistyped_key_is_refused_with_the_nearest_one(mistyped: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"{mistyped}: \w+ has no '.*'; did you mean '{meant}'\?"):
        load_experiment(CONFIG, {mistyped: 1})


def test_all_of_them_are_named_at_once_and_without_a_near_one_all_that_are_taken() -> None:
    cfg = Config(dict(model=dict(type="DecoupledAlignmentLoss", xyzzy=1), custom_hooks=[dict(type="NanHook", q=2)]))
    cfg.default_scope = "densevlm_mm"
    with pytest.raises(ValueError, match=r"1 key\(s\) that nothing reads:\n  model.xyzzy: .* it takes .*temperature"):
        check_config_keys(cfg)
    cfg.custom_hooks = [dict(type="ThroughputHook", q=2, priority="LOW")]
    with pytest.raises(ValueError, match=r"2 key\(s\)[\s\S]*model.xyzzy: [\s\S]*custom_hooks.0.q: ThroughputHook"):
        check_config_keys(cfg)


def test_components_of_mmdet_are_looked_up_in_their_scope() -> None:
    node = dict(type="FPN", in_channels=[8], out_channels=8, num_outs=1, norms=dict(type="BN", requires_grad=True))
    cfg = Config(dict(default_scope="mmdet", model=dict(type="densevlm_mm.FViT", neck=node)))
    with pytest.raises(ValueError, match=r"1 key.*\n  model.neck.norms: FPN has no 'norms'; did you mean 'norm_cfg'"):
        check_config_keys(cfg)


def test_variables_of_a_config_and_what_no_registry_has_are_left_alone() -> None:
    cfg = Config(dict(nms=dict(type="DecoupledAlignmentLoss", xyzzy=1), test_cfg=dict(type="soft_nms", iou=0.5)))
    check_config_keys(cfg)


class _Base(nn.Module):
    def __init__(self, base: int = 0) -> None:
        super().__init__()


class _HandsOn(_Base):
    def __init__(self, own: int = 0, **kwargs: int) -> None:
        super().__init__(**kwargs)


class _Keeps(_Base):
    def __init__(self, own: int = 0, **kwargs: int) -> None:
        super().__init__()
        self.kept = kwargs


class _Takes(_Base):
    def __init__(self, **kwargs: int) -> None:
        self.extra = kwargs.pop("extra")
        super().__init__(**kwargs)


class _Skips(_HandsOn):
    def __init__(self, **kwargs: int) -> None:
        super(_HandsOn, self).__init__(**kwargs)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(_Base, {"base"}), (_HandsOn, {"own", "base"}), (_Keeps, None), (_Takes, None), (_Skips, None)],
)
def test_kwargs_are_followed_only_where_they_go_to_the_next_class(kind: type, expected: set[str] | None) -> None:
    assert accepted_parameters(kind) == expected


def test_the_checkpoint_hook_takes_what_mmengines_names() -> None:
    taken = accepted_parameters(AtomicCheckpointHook)
    assert taken is not None
    assert {"save_best", "rule", "max_keep_ckpts"} <= taken == accepted_parameters(CheckpointHook)
