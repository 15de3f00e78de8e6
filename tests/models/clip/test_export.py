import json

import open_clip
import pytest
import torch
from safetensors import safe_open

from densevlm_mm.models.clip import build_clip, export_open_clip, load_visual
from densevlm_mm.models.encoders import DenseImageEncoder


@pytest.fixture
def registered(stock_config, tmp_path):
    """A tiny architecture that open_clip knows by name."""
    path = tmp_path / "EncoderTest-Export.json"
    path.write_text(json.dumps(stock_config("vit")))
    open_clip.add_model_config(path)
    yield path.stem
    open_clip.factory._MODEL_CONFIG_PATHS.remove(path)
    open_clip.factory._MODEL_CONFIGS.pop(path.stem, None)


def test_plain_open_clip_reads_an_exported_model_bit_by_bit(stock_model, stock_config, images, registered, tmp_path):
    model = stock_model("vit")
    encoder = DenseImageEncoder(clip_model=model, trainable="blocks")  # split projections must be stored fused
    text = {key: value for key, value in model.state_dict().items() if not key.startswith("visual.")}
    path = tmp_path / "out" / "encoder.safetensors"
    export_open_clip(path, {**encoder.state_dict(), **text}, registered, stock_config("vit"))
    plain = open_clip.create_model(registered, pretrained=str(path)).eval()
    tokens = torch.arange(16).reshape(2, 8) % 20
    stock = stock_model("vit")
    with torch.no_grad():
        assert torch.equal(plain.encode_image(images(32, 32)), stock.encode_image(images(32, 32)))
        assert torch.equal(plain.encode_text(tokens), stock.encode_text(tokens))
    with safe_open(path, framework="pt") as file:
        assert file.metadata() == {
            "format": "open_clip",
            "part": "all",
            "model_name": registered,
            "model_cfg": json.dumps(stock_config("vit")),
        }
    assert [p.name for p in path.parent.iterdir()] == ["encoder.safetensors"]


@pytest.mark.parametrize("name", [None, "config"])
def test_an_exported_image_tower_comes_back(stock_model, stock_config, images, tmp_path, name):
    encoder = DenseImageEncoder(clip_model=stock_model("eva01"))
    path = tmp_path / "encoder.safetensors"
    export_open_clip(path, encoder.state_dict(), "EncoderTest", stock_config("eva01"))
    again = DenseImageEncoder(stock_config("eva01") if name else None, str(path))
    assert torch.equal(again.dense(images(40, 64)), encoder.dense(images(40, 64)))
    assert again.model_name == ("custom" if name else "EncoderTest")
    assert again.model_cfg == stock_config("eva01")
    with pytest.raises(ValueError, match="text tower"):
        build_clip(stock_config("eva01"), path)


def test_another_architecture_of_the_same_shapes_is_refused(stock_model, stock_config, tmp_path):
    path = tmp_path / "encoder.safetensors"
    config = stock_config("vit")
    export_open_clip(path, DenseImageEncoder(clip_model=stock_model("vit")).state_dict(), "with-quickgelu", config)
    config["quick_gelu"] = False
    with pytest.raises(ValueError, match="'quick_gelu': True against False"):
        load_visual(config, path)


def test_what_cannot_be_exported_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"\.safetensors"):
        export_open_clip(tmp_path / "encoder.pt", {"visual.proj": torch.ones(1)}, "name", {})
    with pytest.raises(ValueError, match=r"encoder\.visual\.proj"):
        export_open_clip(tmp_path / "e.safetensors", {"encoder.visual.proj": torch.ones(1)}, "name", {})
    assert list(tmp_path.iterdir()) == []
