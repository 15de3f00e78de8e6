import pytest
import torch
from mmengine.config import Config

from densevlm_mm.apis import is_runner_checkpoint, use_checkpoint


def config() -> Config:
    return Config(
        dict(
            load_from=None,
            model=dict(
                type="RegionPretrainer",
                encoder=dict(checkpoint="start.pt"),
                class_embeddings=dict(vocabulary="tiny_scenes"),
                test_class_embeddings=dict(file="x.safetensors"),
            ),
        )
    )


def test_runner_checkpoint_is_loaded_into_the_model(tmp_path) -> None:
    path = tmp_path / "iter_1.pth"
    torch.save(dict(meta=dict(iter=1), state_dict={"encoder.visual.x": torch.zeros(1)}), path)
    assert is_runner_checkpoint(path)
    cfg = config()
    use_checkpoint(cfg, str(path))
    assert cfg.load_from == str(path)
    assert cfg.model.encoder.checkpoint == "start.pt"


@pytest.mark.parametrize("with_text", [True, False])
def test_encoder_weights_take_the_encoders_place(tmp_path, with_text) -> None:
    path = tmp_path / "clip.pt"
    weights = {"visual.proj": torch.zeros(1), **({"text_projection": torch.zeros(1)} if with_text else {})}
    torch.save(dict(epoch=3, state_dict=weights), path)
    cfg = config()
    use_checkpoint(cfg, str(path))
    assert cfg.load_from is None
    assert cfg.model.encoder.checkpoint == str(path)
    # Without a text tower in the file, class embeddings come from the weights that the config starts from.
    assert cfg.model.class_embeddings.get("checkpoint") == (None if with_text else "start.pt")
    assert "checkpoint" not in cfg.model.test_class_embeddings


@pytest.mark.parametrize("name", ["open_clip:laion2b_s34b_b88k", "hf-hub:timm/some_model"])
def test_names_of_published_weights_take_the_encoders_place(name) -> None:
    cfg = config()
    use_checkpoint(cfg, name)
    assert cfg.load_from is None
    assert cfg.model.encoder.checkpoint == name
    assert "checkpoint" not in cfg.model.class_embeddings


def test_missing_checkpoint_and_model_without_encoder(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        use_checkpoint(config(), str(tmp_path / "none.pth"))
    path = tmp_path / "clip.pt"
    torch.save({"visual.proj": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="not a checkpoint of FasterRCNN"):
        use_checkpoint(Config(dict(model=dict(type="FasterRCNN"))), str(path))


def test_a_file_that_would_run_code_is_refused(tmp_path) -> None:
    class Payload:
        def __reduce__(self):
            return (print, ("code ran",))

    path = tmp_path / "payload.pth"
    torch.save(dict(meta=Payload(), state_dict={}), path)
    with pytest.raises(ValueError, match=r"payload\.pth' is refused"):
        is_runner_checkpoint(path)
