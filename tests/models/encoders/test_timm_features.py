import pytest
import timm
import torch
from safetensors.torch import save_file

from densevlm_mm.models.encoders import TimmFeatures

MODEL = "test_vit"  # timm's, patches of 16 pixels, of two registers and a class token at most


@pytest.fixture(scope="module")
def teacher() -> TimmFeatures:
    torch.manual_seed(0)
    return TimmFeatures(MODEL, checkpoint="random").eval()


@pytest.mark.parametrize(("height", "width"), [(64, 96), (160, 160)])
def test_one_unit_feature_a_patch_at_any_size(teacher: TimmFeatures, height: int, width: int) -> None:
    assert teacher.stride == 16
    dense = teacher.dense(torch.randn(2, 3, height, width))
    assert dense.shape == (2, teacher.embed_dim, height // 16, width // 16)
    torch.testing.assert_close(dense.norm(dim=1), torch.ones_like(dense[:, 0]))


def test_features_are_the_patch_tokens_after_the_final_norm(teacher: TimmFeatures) -> None:
    images = torch.randn(1, 3, 64, 96)
    tokens = teacher.model.forward_features(images)[:, teacher.model.num_prefix_tokens :]
    expected = torch.nn.functional.normalize(tokens, dim=-1).transpose(1, 2).unflatten(2, (4, 6))
    torch.testing.assert_close(teacher.dense(images), expected)


def test_layers_count_from_the_first_or_from_the_last(teacher: TimmFeatures) -> None:
    images, last = torch.randn(1, 3, 64, 64), len(teacher.model.blocks) - 1
    for layer in (0, last, -1, -2):
        other = TimmFeatures(MODEL, layer, checkpoint="random").eval()
        other.load_state_dict(teacher.state_dict())
        assert torch.equal(other.dense(images), teacher.dense(images)) == (layer in (last, -1))


def test_images_are_normalised_as_the_model_was_trained(teacher: TimmFeatures) -> None:
    cfg = timm.get_pretrained_cfg(MODEL)
    images = 255 * torch.rand(1, 3, 4, 4)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (cfg.mean, cfg.std))
    torch.testing.assert_close(teacher.normalize(images), (images / 255 - mean) / std)


def test_weights_come_from_a_file(teacher: TimmFeatures, tmp_path) -> None:
    state = dict(teacher.model.state_dict(), **{"head.weight": torch.zeros(3, 3)})  # a head is not read
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "model.safetensors")
    loaded = TimmFeatures(MODEL, checkpoint=str(tmp_path / "model.safetensors")).eval()
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded.dense(images), teacher.dense(images))
    del state["norm.weight"]
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors does not have .*'test_vit': 'norm\.weight'"):
        TimmFeatures(MODEL, checkpoint=str(tmp_path / "model.safetensors"))
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors"):
        TimmFeatures(MODEL, checkpoint=str(tmp_path / "none.safetensors"))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (dict(model_name="dinov2"), "timm .* has no model 'dinov2'"),
        (dict(model_name="test_resnet"), "'test_resnet' is no plain vision transformer"),
        (dict(model_name=MODEL, layer=99), "layer=99: 'test_vit' has the blocks 0 to"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TimmFeatures(**arguments, checkpoint="random")


def test_a_side_that_is_no_multiple_of_the_patch_is_an_error(teacher: TimmFeatures) -> None:
    with pytest.raises(ValueError, match=r"\(64, 70\) pixels do not divide into patches of 16"):
        teacher.dense(torch.randn(1, 3, 64, 70))
