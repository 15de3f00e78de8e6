"""Which CLIP is meant, and with which preprocessing, for every way to name one."""

import json
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from densevlm_mm.models.clip import (
    build_clip,
    export_open_clip,
    load_visual,
    locate_checkpoint,
    resolve_architecture,
    resolve_model,
)
from densevlm_mm.models.clip.model_source import read_description

HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "resize_mode": "squash"}


@pytest.fixture
def weights(stock_model, tmp_path) -> Path:
    path = tmp_path / "weights.pt"
    torch.save(stock_model("siglip").state_dict(), path)
    return path


def write_hub_config(folder: Path, config: dict, preprocess_cfg: dict = HALF) -> None:
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess_cfg}))


def test_a_file_and_an_architecture(stock_config, weights):
    source = resolve_model(stock_config("siglip"), weights)
    assert (source.architecture.cfg, source.file, source.checkpoint.kind) == (stock_config("siglip"), weights, "file")
    assert source.architecture.mean == open_clip.OPENAI_DATASET_MEAN


def test_random_weights_have_no_file():
    source = resolve_model("ViT-B/16", "random")
    assert (source.architecture.name, source.file) == ("ViT-B-16", None)
    with pytest.raises(ValueError, match="give model_name"):
        resolve_model(None, "random")
    with pytest.raises(ValueError, match="no file"):
        locate_checkpoint("ViT-B-16", "random")


def test_a_tag_is_found_by_name_description_and_config(register_clip, stock_config, weights):
    """open_clip lists tags by name; a config is looked up among those that it knows."""
    config = stock_config("siglip")
    register_clip("EncoderTest", config, release={"file": str(weights), **HALF})
    for name in ("EncoderTest", config, {"model_name": "EncoderTest", "model_cfg": config}):
        source = resolve_model(name, "open_clip:release")
        assert source.file == weights
        assert {key: source.architecture.preprocess_cfg[key] for key in HALF} == HALF
        assert build_clip(name, "open_clip:release").visual.preprocess_cfg["resize_mode"] == "squash"
    with pytest.raises(ValueError, match=r"no pretrained tag 'other'.*its tags are \['release'\]"):
        resolve_model(config, "open_clip:other")
    with pytest.raises(ValueError, match="give model_name"):
        resolve_model(None, "open_clip:release")


@pytest.mark.parametrize("named", [True, False])
def test_a_folder_in_hub_layout_says_everything(stock_config, stock_model, weights, tmp_path, named):
    folder = tmp_path / "siglip"
    folder.mkdir()
    weights.rename(folder / "open_clip_pytorch_model.bin")
    write_hub_config(folder, stock_config("siglip"))
    for checkpoint in (str(folder), f"local-dir:{folder}"):
        source = resolve_model(stock_config("siglip") if named else None, checkpoint)
        assert source.file == folder / "open_clip_pytorch_model.bin"
        assert source.architecture.mean == (0.5, 0.5, 0.5)
        visual = load_visual(None, checkpoint)
        assert torch.equal(visual.trunk.pos_embed, stock_model("siglip").visual.trunk.pos_embed)
        assert visual.preprocess_cfg["resize_mode"] == "squash"
    with pytest.raises(ValueError, match="differs from 'custom' in 'embed_dim'"):
        resolve_model(stock_config("timm_gap"), folder)


def test_folders_without_config_or_weights_are_refused(stock_config, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"not in hub layout.*open_clip_config\.json"):
        resolve_model(stock_config("siglip"), tmp_path)
    write_hub_config(tmp_path, stock_config("siglip"))
    with pytest.raises(FileNotFoundError, match=r"holds no weights.*open_clip_model\.safetensors"):
        resolve_model(None, tmp_path)


def test_a_file_of_a_hub_folder_is_read_with_its_config(stock_config, weights):
    write_hub_config(weights.parent, stock_config("siglip"))
    for name in (stock_config("siglip"), None):
        assert resolve_model(name, weights).architecture.mean == (0.5, 0.5, 0.5)


def test_a_config_that_lies_beside_by_chance_is_not_used(stock_config, weights, capture_log):
    """A folder of all one's weights may hold one; weights called as the hub calls them do belong to it."""
    write_hub_config(weights.parent, stock_config("resnet"))
    assert resolve_model(stock_config("siglip"), weights).architecture.mean == open_clip.OPENAI_DATASET_MEAN
    assert "describes another model" in capture_log()[0]
    with pytest.raises(ValueError, match="in 'embed_dim'"):
        resolve_model(stock_config("siglip"), weights.rename(weights.parent / "open_clip_model.safetensors"))


def test_a_hub_id_brings_config_and_preprocessing(stock_config, weights, tmp_path, monkeypatch):
    """Only the download is replaced: there is no network in tests."""
    write_hub_config(tmp_path, stock_config("siglip"))
    for module in ("architecture", "model_source"):
        monkeypatch.setattr(
            f"densevlm_mm.models.clip.{module}.download_pretrained_from_hf",
            lambda model_id, filename=weights.name: str(tmp_path / filename),
        )
    for name in (None, stock_config("siglip")):
        source = resolve_model(name, "hf-hub:org/model")
        assert (source.file, source.architecture.mean) == (weights, (0.5, 0.5, 0.5))
    assert resolve_model(None, "hf-hub:org/model").architecture.name == "hf-hub:org/model"


def test_a_url_is_downloaded_once(stock_config, weights, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    target = tmp_path / "torch" / "hub" / "checkpoints" / "release.pt"
    target.parent.mkdir(parents=True)
    weights.rename(target)
    assert resolve_model(stock_config("siglip"), "https://host.invalid/a/release.pt?download=1").file == target


@pytest.mark.parametrize("checkpoint", ["https://host.invalid/a.pt", "open_clip:release", "hf-hub:org/model"])
def test_a_download_that_fails_is_one_line(register_clip, stock_config, tmp_path, monkeypatch, checkpoint):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def fail(*args, **kwargs):
        raise ConnectionError("no route to host\nand twenty more lines")

    for name in ("download_pretrained", "download_pretrained_from_hf", "download"):
        monkeypatch.setattr(f"densevlm_mm.models.clip.model_source.{name}", fail)
    register_clip("EncoderTest", stock_config("siglip"), release={"url": "https://host.invalid/a.pt"})
    with pytest.raises(FileNotFoundError, match=r"could not be downloaded \(no route to host\)") as raised:
        locate_checkpoint("EncoderTest", checkpoint)
    assert str(raised.value).startswith(checkpoint)


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch):
    def fail(*args, **kwargs):
        raise FileNotFoundError("Failed to download file\nand twenty more lines")

    monkeypatch.setattr("densevlm_mm.models.clip.architecture.download_pretrained_from_hf", fail)
    with pytest.raises(FileNotFoundError, match=r"^hf-hub:org/model could not be downloaded") as raised:
        resolve_architecture("hf-hub:org/model")
    assert "\n" not in str(raised.value)


def test_exported_files_say_what_they_are(stock_model, stock_config, tmp_path):
    architecture = resolve_architecture({"model_name": "Mine", "model_cfg": stock_config("siglip")})
    path = export_open_clip(
        tmp_path / "encoder.safetensors", stock_model("siglip").state_dict(), architecture.with_preprocessing(HALF)
    )
    source = resolve_model(None, path)
    assert (source.architecture.name, source.architecture.cfg) == ("Mine", stock_config("siglip"))
    assert resolve_model(stock_config("siglip"), path).architecture.std == (0.5, 0.5, 0.5)
    described = read_description(path)
    assert resolve_architecture(described).preprocess_cfg == source.architecture.preprocess_cfg
    assert described["model_name"] == "Mine"


def test_runner_checkpoints_say_what_they_are(stock_model, stock_config, tmp_path):
    path = tmp_path / "iter_3.pth"
    state_dict = {f"encoder.{k}": v for k, v in stock_model("siglip").state_dict().items() if k.startswith("visual.")}
    entry = dict(model_name="Mine", model_cfg=json.dumps(stock_config("siglip")), preprocess_cfg=json.dumps(HALF))
    torch.save(dict(state_dict=state_dict, meta={}, encoder=entry), path)
    source = resolve_model(None, path)
    assert (source.architecture.name, source.architecture.mean) == ("Mine", (0.5, 0.5, 0.5))
    with pytest.raises(ValueError, match="exported from 'Mine', which differs from 'EVA02-B-16' in 'embed_dim'"):
        resolve_model("EVA02-B-16", path)
    torch.save(dict(state_dict=state_dict, meta={}, encoder={**entry, "model_cfg": "{"}), path)
    with pytest.raises(ValueError, match=r"iter_3\.pth.*does not say legibly"):
        resolve_model(None, path)


@pytest.mark.parametrize("known", [True, False])
def test_files_of_before_are_read_with_what_the_name_says(stock_model, stock_config, register_clip, tmp_path, known):
    """Version 0.1.0 stored no preprocessing."""
    if known:
        register_clip("Mine", stock_config("siglip"), webli={"file": "x", **HALF})
    path = tmp_path / "old.safetensors"
    metadata = {"format": "open_clip", "model_name": "Mine", "model_cfg": json.dumps(stock_config("siglip"))}
    save_file({k: v.contiguous() for k, v in stock_model("siglip").state_dict().items()}, path, metadata)
    expected = (0.5, 0.5, 0.5) if known else open_clip.OPENAI_DATASET_MEAN
    assert resolve_model(None, path).architecture.mean == expected


def test_what_a_user_wrote_down_must_agree_with_the_weights(stock_config, register_clip, weights):
    config = stock_config("siglip")
    register_clip("EncoderTest", config, release={"file": str(weights), **HALF})
    written = {"model_name": "EncoderTest", "preprocess_cfg": {"mean": [0.4, 0.5, 0.5]}}
    assert resolve_model(written, weights).architecture.mean == (0.4, 0.5, 0.5)
    with pytest.raises(ValueError, match=r"trained with mean=\(0\.5, 0\.5, 0\.5\).*says \(0\.4, 0\.5, 0\.5\)"):
        resolve_model(written, "open_clip:release")
    agreeing = {"model_name": "EncoderTest", "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "size": 512}}
    assert resolve_model(agreeing, "open_clip:release").architecture.mean == (0.5, 0.5, 0.5)


def test_an_ambiguous_normalisation_is_logged(register_clip, stock_config, weights, capture_log):
    """As for ViT-L-14: its releases are not normalised alike, and a bare file does not say which it is."""
    other = {"mean": (0.1, 0.1, 0.1), "std": (0.5, 0.5, 0.5)}
    register_clip("EncoderTest", stock_config("siglip"), a={"file": str(weights), **HALF}, b={"file": "", **other})
    assert resolve_model("EncoderTest", "open_clip:a").architecture.mean == (0.5, 0.5, 0.5)
    written = {"model_name": "EncoderTest", "preprocess_cfg": HALF}
    resolve_model(written, weights)
    assert capture_log() == []
    assert resolve_model("EncoderTest", weights).architecture.mean == open_clip.OPENAI_DATASET_MEAN
    assert "are not all normalised alike: OpenAI's values are taken" in capture_log()[0]


@pytest.mark.parametrize("checkpoint", [None, ""])
def test_weights_must_be_named(checkpoint):
    with pytest.raises(ValueError, match=r"no checkpoint given for 'ViT-B-16'.*'random' asks"):
        resolve_model("ViT-B-16", checkpoint)


def test_the_architecture_must_be_named_or_stored(weights):
    with pytest.raises(ValueError, match="does not say its architecture: give model_name"):
        resolve_model(None, weights)
