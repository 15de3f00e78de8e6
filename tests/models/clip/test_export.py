import json

import open_clip
import pytest
import torch
from safetensors import safe_open

from densevlm_mm.models.clip import build_clip, export_open_clip, load_visual, resolve_architecture
from densevlm_mm.models.clip.architecture import preprocess_tuples
from densevlm_mm.models.encoders import DenseImageEncoder


def describe(config: dict, name: str = "EncoderTest", **preprocess_cfg):
    return resolve_architecture({"model_name": name, "model_cfg": config, "preprocess_cfg": preprocess_cfg})


def test_plain_open_clip_reads_an_exported_model_bit_by_bit(stock_model, stock_config, images, register_clip, tmp_path):
    name = register_clip("EncoderTest-Export", stock_config("vit"))
    model = stock_model("vit")
    encoder = DenseImageEncoder(clip_model=model, trainable="blocks")  # split projections must be stored fused
    text = {key: value for key, value in model.state_dict().items() if not key.startswith("visual.")}
    path = tmp_path / "out" / "encoder.safetensors"
    architecture = describe(stock_config("vit"), name)
    assert export_open_clip(path, {**encoder.state_dict(), **text}, architecture) == path
    plain = open_clip.create_model(name, pretrained=str(path)).eval()
    tokens = torch.arange(16).reshape(2, 8) % 20
    stock = stock_model("vit")
    with torch.no_grad():
        assert torch.equal(plain.encode_image(images(32, 32)), stock.encode_image(images(32, 32)))
        assert torch.equal(plain.encode_text(tokens), stock.encode_text(tokens))
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    assert len(metadata.pop("sha256")) == 64
    assert json.loads(metadata.pop("preprocess_cfg"))["mean"] == list(open_clip.OPENAI_DATASET_MEAN)
    assert metadata == {
        "format": "open_clip",
        "part": "all",
        "model_name": name,
        "model_cfg": json.dumps(stock_config("vit")),
    }
    assert [p.name for p in path.parent.iterdir()] == ["encoder.safetensors"]


def test_a_folder_tells_plain_open_clip_everything(stock_model, stock_config, images, tmp_path):
    """Neither name nor preprocessing has to be known to it."""
    model = stock_model("siglip")
    half = dict(mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 0.5), resize_mode="squash", interpolation="bilinear")
    file = export_open_clip(tmp_path / "mine", model.state_dict(), describe(stock_config("siglip"), **half))
    assert file == tmp_path / "mine" / "open_clip_model.safetensors"
    plain, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'mine'}")
    with torch.no_grad():
        assert torch.equal(plain.eval().encode_image(images(32, 32)), model.encode_image(images(32, 32)))
    again = DenseImageEncoder(checkpoint=str(tmp_path / "mine"))
    assert {key: again.preprocess_cfg[key] for key in half} == half
    assert preprocess_tuples(plain.visual.preprocess_cfg) == again.preprocess_cfg
    assert tuple(preprocess.transforms[-1].std) == (0.25, 0.5, 0.5)


@pytest.mark.parametrize("name", [None, "config"])
def test_an_exported_image_tower_comes_back(stock_model, stock_config, images, tmp_path, name):
    encoder = DenseImageEncoder(clip_model=stock_model("eva01"))
    path = tmp_path / "encoder.safetensors"
    export_open_clip(path, encoder.state_dict(), describe(stock_config("eva01"), mean=(0.1, 0.2, 0.3)))
    again = DenseImageEncoder(stock_config("eva01") if name else None, str(path))
    assert torch.equal(again.dense(images(40, 64)), encoder.dense(images(40, 64)))
    assert again.model_name == ("custom" if name else "EncoderTest")
    assert again.model_cfg == stock_config("eva01")
    assert again.mean == (0.1, 0.2, 0.3)
    with pytest.raises(ValueError, match="text tower"):
        build_clip(stock_config("eva01"), path)


def test_another_architecture_of_the_same_shapes_is_refused(stock_model, stock_config, tmp_path):
    path = tmp_path / "encoder.safetensors"
    config = stock_config("vit")
    encoder = DenseImageEncoder(clip_model=stock_model("vit"))
    export_open_clip(path, encoder.state_dict(), describe(config, "with-quickgelu"))
    config["quick_gelu"] = False
    with pytest.raises(ValueError, match="'quick_gelu': True against False"):
        load_visual(config, path)


def test_configs_with_tuples_are_the_same_after_a_file(stock_model, stock_config, tmp_path):
    """JSON has no tuples."""
    config = stock_config("resnet")
    config["vision_cfg"]["layers"] = (1, 1, 1, 1)
    path = export_open_clip(tmp_path / "e.safetensors", stock_model("resnet").state_dict(), describe(config))
    load_visual(config, path)


@pytest.mark.parametrize("local", ["/home/somebody/bpe.txt.gz", "~/bpe.txt.gz", r"C:\Users\somebody\bpe.txt.gz"])
def test_files_hold_no_path_of_this_machine(stock_model, stock_config, tmp_path, local, capture_log):
    config = stock_config("vit")
    config["text_cfg"]["tokenizer_kwargs"] = {"bpe_path": local}
    export_open_clip(tmp_path / "mine", stock_model("vit").state_dict(), describe(config))
    with safe_open(tmp_path / "mine" / "open_clip_model.safetensors", "pt") as file:
        texts = [*file.metadata().values(), (tmp_path / "mine" / "open_clip_config.json").read_text()]
    assert sum("bpe.txt.gz" in text for text in texts) == 2
    assert not any("somebody" in text or "~/" in text for text in texts)
    assert "stored with 'bpe.txt.gz'" in capture_log()[0]


def test_what_cannot_be_exported_is_refused(stock_config, tmp_path):
    architecture = describe(stock_config("vit"))
    with pytest.raises(ValueError, match=r"\.safetensors"):
        export_open_clip(tmp_path / "encoder.pt", {"visual.proj": torch.ones(1)}, architecture)
    with pytest.raises(ValueError, match=r"encoder\.visual\.proj"):
        export_open_clip(tmp_path / "e.safetensors", {"encoder.visual.proj": torch.ones(1)}, architecture)
    with pytest.raises(ValueError, match=r"'visual\.proj' holds nan"):
        export_open_clip(tmp_path / "e.safetensors", {"visual.proj": torch.tensor([float("nan")])}, architecture)
    assert list(tmp_path.iterdir()) == []
