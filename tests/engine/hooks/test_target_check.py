from types import SimpleNamespace

import pytest
import torch

from densevlm_mm.engine.hooks import CropTeacherHook, RegionLabelHook, RegionRetrievalHook, TargetCheckHook, TargetHook
from densevlm_mm.models.losses import PretrainingLoss
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.registry import HOOKS, MODELS

TEACHER = dict(type="DenseImageEncoder", model_name="TinyScenes-S", checkpoint="random")
VOCABULARY = dict(vocabulary="tiny_scenes", templates="plain")  # never encoded here


@MODELS.register_module()
class ViewLoss(PretrainingLoss):
    features = ("views",)
    inputs = ("caption", "img_shape")


@HOOKS.register_module()
class CaptionHook(TargetHook):
    image_targets = ("caption",)


@HOOKS.register_module()
class ViewHook(TargetHook):
    image_targets = ("view_norm_xyxy",)


@pytest.fixture(scope="module", autouse=True)
def _unregister():
    yield
    MODELS.module_dict.pop("ViewLoss")
    for name in ("CaptionHook", "ViewHook"):
        HOOKS.module_dict.pop(name)


def check(loss: str, *hooks: TargetHook, **options) -> None:
    encoder = dict(TEACHER, trainable="blocks")
    model = RegionPretrainer(encoder, dict(type=loss), **options)
    TargetCheckHook().before_train(SimpleNamespace(model=model, hooks=hooks))


def test_targets_of_regions_and_images_and_facts_of_the_data_are_found() -> None:
    check("FeatureDistillationLoss", CropTeacherHook(TEACHER))
    check("ViewLoss", CaptionHook(), ViewHook(), RegionLabelHook())


def test_a_target_that_no_hook_writes_is_named_with_the_hooks_that_would() -> None:
    with pytest.raises(ValueError, match=r"FeatureDistillationLoss needs 'teacher_features'.*: CropTeacherHook\."):
        check("FeatureDistillationLoss", RegionRetrievalHook(TEACHER))
    with pytest.raises(ValueError, match=r"needs 'teacher_logits', .*: CropTeacherHook would, with other arguments\."):
        check("DecoupledAlignmentLoss", CropTeacherHook(TEACHER), class_embeddings=VOCABULARY)
    with pytest.raises(ValueError, match=r"ViewLoss needs 'caption', which no hook of this run writes: .*CaptionHook"):
        check("ViewLoss", ViewHook())


def test_what_a_feature_cannot_be_computed_without_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"ViewLoss needs 'view_norm_xyxy'.*ViewHook"):
        check("ViewLoss", CaptionHook())


def test_two_hooks_that_write_the_same_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"CropTeacherHook writes 'teacher_features'.* CropTeacherHook already"):
        check("FeatureDistillationLoss", CropTeacherHook(TEACHER), CropTeacherHook(TEACHER, crop_size=32))
    hook = CaptionHook()
    for name in ("text", "img_shape"):
        hook.image_targets = (name,)
        with pytest.raises(ValueError, match=f"CaptionHook writes '{name}'"):
            check("FeatureDistillationLoss", CropTeacherHook(TEACHER), hook)


def test_other_models_are_left_alone() -> None:
    TargetCheckHook().before_train(SimpleNamespace(model=torch.nn.Linear(1, 1), hooks=[]))
