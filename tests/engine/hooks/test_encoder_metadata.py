import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from densevlm_mm.engine.hooks import EncoderMetadataHook
from densevlm_mm.models.clip import resolve_model
from densevlm_mm.models.encoders import DenseImageEncoder


def entry(model: nn.Module) -> dict[str, str] | None:
    checkpoint: dict = {}
    EncoderMetadataHook().before_save_checkpoint(SimpleNamespace(model=model), checkpoint)
    return checkpoint.get("encoder")


@pytest.mark.parametrize("where", ["relative", "absolute", "home"])
def test_the_entry_tells_the_model_and_nothing_of_this_machine(
    stock_model, stock_config, tmp_path, monkeypatch, where: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()
    torch.save(stock_model("siglip").state_dict(), "weights/siglip.pt")
    description = dict(model_name="Mine", model_cfg=stock_config("siglip"), preprocess_cfg=dict(mean=(0.5, 0.4, 0.3)))
    encoder = DenseImageEncoder(description, "weights/siglip.pt")
    encoder.checkpoint = {
        "relative": "weights/siglip.pt",
        "absolute": str(tmp_path / "weights" / "siglip.pt"),
        "home": "~/weights/siglip.pt",
    }[where]
    found = entry(nn.Sequential(encoder))
    assert found is not None
    assert all(isinstance(value, str) for value in found.values())
    assert found["model_name"] == "Mine"
    assert json.loads(found["model_cfg"]) == stock_config("siglip")
    assert json.loads(found["preprocess_cfg"])["mean"] == [0.5, 0.4, 0.3]
    assert found["checkpoint"] == ("weights/siglip.pt" if where == "relative" else "siglip.pt")


@pytest.mark.parametrize(
    ("checkpoint", "stored"),
    [
        ("open_clip:openai", "open_clip:openai"),
        ("hf-hub:timm/vit", "hf-hub:timm/vit"),
        ("https://user:secret@host/a.pt?token=secret#x", "https://host/a.pt"),
        ("local-dir:/home/somebody/siglip", "siglip"),
        (r"C:\weights\a.pt", "a.pt"),
        ("../weights/a.pt", "../weights/a.pt"),
        ("random", "random"),
        (None, ""),
    ],
)
def test_origins_are_stored_without_folders_and_secrets(stock_model, checkpoint, stored) -> None:
    encoder = DenseImageEncoder(clip_model=stock_model("vit"))
    encoder.checkpoint, encoder.model_cfg = checkpoint, {"embed_dim": 1, "vision_cfg": {}, "text_cfg": {}}
    found = entry(encoder)
    assert found is not None
    assert found["checkpoint"] == stored


def test_models_without_a_known_encoder_have_no_entry(stock_model) -> None:
    assert entry(nn.Linear(3, 2)) is None
    assert entry(DenseImageEncoder(clip_model=stock_model("vit"))) is None  # of an architecture that nobody named


def test_the_checkpoint_alone_is_enough_for_an_encoder(stock_model, stock_config, images, tmp_path) -> None:
    torch.save(stock_model("eva02").state_dict(), tmp_path / "eva.pt")
    encoder = DenseImageEncoder(stock_config("eva02"), str(tmp_path / "eva.pt"))
    checkpoint = dict(state_dict={f"encoder.{k}": v for k, v in encoder.state_dict().items()}, meta={})
    EncoderMetadataHook().before_save_checkpoint(SimpleNamespace(model=encoder), checkpoint)
    torch.save(checkpoint, tmp_path / "iter_1.pth")
    again = DenseImageEncoder(checkpoint=str(tmp_path / "iter_1.pth"))
    assert torch.equal(again.dense(images(32, 40)), encoder.dense(images(32, 40)))
    assert resolve_model(None, tmp_path / "iter_1.pth").architecture.cfg == stock_config("eva02")


def test_a_checkpoint_of_another_dense_path_is_refused(stock_model, stock_config) -> None:
    """The tensors of paths without a gate are the same: only the entry tells them apart."""
    encoders = {
        path: DenseImageEncoder(
            dict(model_name="Mine", model_cfg=stock_config("eva02")),
            "random",
            dense_path=path if path == "residual" else dict(type="values", layers=int(path)),
        )
        for path in ("residual", "1", "2")
    }
    hook = EncoderMetadataHook()
    for trained, encoder in encoders.items():
        checkpoint = dict(encoder=entry(encoder))
        for tested, other in encoders.items():
            runner = SimpleNamespace(model=nn.Sequential(other), _load_from="iter_1.pth")
            if tested == trained:
                hook.after_load_checkpoint(runner, checkpoint)
                continue
            with pytest.raises(ValueError, match=r"'iter_1\.pth' was trained with dense_path=.*, got dense_path="):
                hook.after_load_checkpoint(runner, checkpoint)
            hook.after_load_checkpoint(runner, dict(encoder=dict(model_name="Mine")))  # of before there were two
            hook.after_load_checkpoint(runner, {})
