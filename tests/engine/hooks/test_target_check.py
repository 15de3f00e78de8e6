from types import SimpleNamespace

import pytest
import torch

from densevlm_mm.engine.hooks import (
    CaptionHook,
    CropTeacherHook,
    RegionLabelHook,
    RegionRetrievalHook,
    RetentionHook,
    TargetCheckHook,
    TargetHook,
)
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
class SentenceHook(TargetHook):
    image_targets = ("caption",)


@HOOKS.register_module()
class ViewHook(TargetHook):
    image_targets = ("view_norm_xyxy",)


@pytest.fixture(scope="module", autouse=True)
def _unregister():
    yield
    MODELS.module_dict.pop("ViewLoss")
    for name in ("SentenceHook", "ViewHook"):
        HOOKS.module_dict.pop(name)


def check(loss: str, *hooks: TargetHook, **options) -> None:
    encoder = dict(TEACHER, trainable="blocks")
    model = RegionPretrainer(encoder, dict(type=loss), **options)
    TargetCheckHook().before_train(SimpleNamespace(model=model, hooks=hooks))


def test_targets_of_regions_and_images_and_facts_of_the_data_are_found() -> None:
    check("FeatureDistillationLoss", CropTeacherHook(TEACHER))
    check("ViewLoss", SentenceHook(), ViewHook(), RegionLabelHook())


def test_a_target_that_no_hook_writes_is_named_with_the_hooks_that_would() -> None:
    with pytest.raises(ValueError, match=r"FeatureDistillationLoss needs 'teacher_features'.*: CropTeacherHook\."):
        check("FeatureDistillationLoss", RegionRetrievalHook(TEACHER))
    with pytest.raises(ValueError, match=r"needs 'teacher_logits', .*: CropTeacherHook would, with other arguments\."):
        check("DecoupledAlignmentLoss", CropTeacherHook(TEACHER), class_embeddings=VOCABULARY)
    with pytest.raises(ValueError, match=r"ViewLoss needs 'caption', which no hook of this run writes: .*SentenceHook"):
        check("ViewLoss", ViewHook())


def test_what_a_feature_cannot_be_computed_without_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"ViewLoss needs 'view_norm_xyxy'.*ViewHook"):
        check("ViewLoss", SentenceHook())


def test_losses_of_views_name_their_hooks() -> None:
    with pytest.raises(ValueError, match=r"RetentionLoss needs 'teacher_view'.*: RetentionHook"):
        check("RetentionLoss", CaptionHook("captions.json", view="centre"))
    with pytest.raises(ValueError, match=r"CaptionContrastLoss needs 'view_norm_xyxy'.* CaptionHook or RetentionHook"):
        check("CaptionContrastLoss", CaptionHook("captions.json"))
    check("CaptionContrastLoss", CaptionHook("captions.json"), RetentionHook())
    with pytest.raises(ValueError, match=r"RetentionHook writes 'view_norm_xyxy'.* CaptionHook already"):
        check("RetentionLoss", CaptionHook("captions.json", view="centre"), RetentionHook())


def test_two_hooks_that_write_the_same_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"CropTeacherHook writes 'teacher_features'.* CropTeacherHook already"):
        check("FeatureDistillationLoss", CropTeacherHook(TEACHER), CropTeacherHook(TEACHER, crop_size=32))
    hook = SentenceHook()
    for name in ("text", "img_shape"):
        hook.image_targets = (name,)
        with pytest.raises(ValueError, match=f"SentenceHook writes '{name}'"):
            check("FeatureDistillationLoss", CropTeacherHook(TEACHER), hook)


def test_other_models_are_left_alone() -> None:
    TargetCheckHook().before_train(SimpleNamespace(model=torch.nn.Linear(1, 1), hooks=[]))
