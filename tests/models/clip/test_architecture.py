import json

import open_clip
import pytest
import torch

from densevlm_mm.models.clip.architecture import agreed_preprocessing, canonical_name, resolve_architecture, same_model


def test_normalisation_follows_the_published_tags():
    assert resolve_architecture("ViT-B-16-SigLIP").mean == (0.5, 0.5, 0.5)
    assert resolve_architecture("ViT-B-16-SigLIP").preprocess_cfg["resize_mode"] == "squash"
    for name in ("EVA02-B-16", "ViT-B-16"):
        assert resolve_architecture(name).mean == open_clip.OPENAI_DATASET_MEAN
    # One release of ViT-L-14 is normalised otherwise: there the name alone does not tell, and the default counts.
    assert resolve_architecture("ViT-L-14").mean == open_clip.OPENAI_DATASET_MEAN
    assert agreed_preprocessing("ViT-L-14") == {"interpolation": "bicubic", "resize_mode": "shortest"}


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


def test_one_model_by_all_its_names(stock_config):
    """Image and text side ask the same function, so they agree."""
    name = "ViT-B-16-quickgelu"
    config = open_clip.get_model_config(name)
    for other in ("ViT-B/16-quickgelu", config, {"model_cfg": config}, {"model_name": name, "model_cfg": config}):
        assert same_model(name, other)
        assert resolve_architecture(other).cfg == config
    assert canonical_name("ViT-B/16") == resolve_architecture("ViT-B/16").model_id == "ViT-B-16"
    assert not same_model(name, "ViT-B-16")
    assert not same_model(stock_config("vit"), stock_config("resnet"))
    assert same_model(stock_config("vit"), {key: stock_config("vit")[key] for key in reversed(stock_config("vit"))})


def test_a_folder_in_hub_layout_is_a_name(stock_config, tmp_path):
    description = {"model_cfg": stock_config("siglip"), "preprocess_cfg": {"mean": [0.5] * 3, "resize_mode": "squash"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(description))
    architecture = resolve_architecture(f"local-dir:{tmp_path}")
    assert architecture.cfg == stock_config("siglip")
    assert architecture.preprocess_cfg == {
        "size": 224,
        "mode": "RGB",
        "mean": (0.5, 0.5, 0.5),
        "std": open_clip.OPENAI_DATASET_STD,
        "interpolation": "bicubic",
        "resize_mode": "squash",
        "fill_color": 0,
    }
    with pytest.raises(FileNotFoundError, match=r"open_clip_config\.json"):
        resolve_architecture(f"local-dir:{tmp_path / 'none'}")
    for content, problem in (("{", "no JSON"), ("[]", "a list"), ("{}", "no 'model_cfg'")):
        (tmp_path / "open_clip_config.json").write_text(content)
        with pytest.raises(ValueError, match=problem):
            resolve_architecture(f"local-dir:{tmp_path}")


def test_a_name_with_another_normalisation():
    architecture = resolve_architecture(
        {"model_name": "ViT-L/14", "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.5] * 3}}
    )
    assert architecture.name == "ViT-L-14"
    assert architecture.build_visual().preprocess_cfg == {**architecture.preprocess_cfg, "size": (224, 224)}
    assert architecture.mean == architecture.std == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("described", "problem"),
    [
        ({"model_name": "ViT-B-16", "preproces_cfg": {}}, "preproces_cfg"),
        ({"model_name": "ViT-B-16", "preprocess_cfg": {"Mean": [0.5] * 3}}, "Mean"),
        ({"model_name": "ViT-B-16", "preprocess_cfg": {"std": [0.5, 0, 0.5]}}, "std must be three numbers"),
        ({"model_name": "ViT-B-16", "preprocess_cfg": {"mean": [0.5]}}, "mean must be three numbers"),
        ({"embed_dim": 8, "vision_cfg": {}}, "lacks ..text_cfg"),
        (
            {
                "embed_dim": 8,
                "vision_cfg": {},
                "text_cfg": {"hf_tokenizer_name": "a/b", "tokenizer_kwargs": {"trust_remote_code": True}},
            },
            "runs code from the hub",
        ),
        ("ViT-B-17", "no model named 'ViT-B-17'; similar names.*ViT-B-16"),
    ],
)
def test_what_names_no_model_is_refused(described, problem):
    with pytest.raises(ValueError, match=problem):
        resolve_architecture(described)
