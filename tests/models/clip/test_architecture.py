import json

import pytest
import torch

from densevlm_mm.models.clip.architecture import resolve_architecture


def test_normalisation_follows_the_published_tags():
    assert resolve_architecture("ViT-B-16-SigLIP").mean == (0.5, 0.5, 0.5)
    openai = (0.48145466, 0.4578275, 0.40821073)
    assert resolve_architecture("EVA02-B-16").mean == openai
    # OpenCLIP and OpenAI weights of one name may be normalised differently: without a tag the default counts.
    assert resolve_architecture("ViT-B-16", tag="openai").mean == openai


def test_hub_models_bring_their_own_normalisation(stock_config, tmp_path, monkeypatch):
    """Only the download is replaced: there is no network in tests."""
    config = {"model_cfg": stock_config("vit"), "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    download = lambda model_id, filename: str(tmp_path / filename)  # noqa: E731
    monkeypatch.setattr("densevlm_mm.models.clip.architecture.download_pretrained_from_hf", download)
    architecture = resolve_architecture("hf-hub:org/model")
    assert (architecture.name, architecture.mean) == ("hf-hub:org/model", (0.5, 0.5, 0.5))


def test_configs_with_preprocessing_are_understood(stock_config):
    config = {"model_cfg": stock_config("vit"), "preprocess_cfg": {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}}
    architecture = resolve_architecture(config)
    assert (architecture.mean, architecture.std) == ((0.1, 0.2, 0.3), (1, 1, 1))
    assert architecture.quick_gelu


@pytest.mark.parametrize("family", ["vit", "eva02", "resnet", "convnext"])
def test_the_image_tower_alone_is_the_model_s(stock_config, family):
    architecture = resolve_architecture(stock_config(family))
    torch.manual_seed(0)
    model = architecture.build_clip()
    torch.manual_seed(0)
    visual = architecture.build_visual()
    expected = model.visual.state_dict()
    assert visual.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[key]) for key, value in visual.state_dict().items())
    assert not visual.training
    assert not model.training


def test_the_config_is_not_changed_by_building(stock_config):
    config = stock_config("eva02")
    resolve_architecture(config).build_clip()
    assert config == stock_config("eva02")
