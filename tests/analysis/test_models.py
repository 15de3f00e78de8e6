import pytest
import torch
from mmengine.config import Config

from densevlm_mm.analysis import AnalysisModel, ModelSource, check_names, parse_model_source
from densevlm_mm.analysis.models import default_name, retrieval_settings
from densevlm_mm.models.clip import build_clip, build_tokenizer
from densevlm_mm.models.encoders import DenseImageEncoder

CONFIG = "configs/tiny/densevlm.py"
STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
TEACHER = "densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b.pt", ("b", "a/b.pt", "default.py")),
        ("EVA=a/b.pt", ("EVA", "a/b.pt", "default.py")),
        ("EVA=a/b.pt@c.py", ("EVA", "a/b.pt", "c.py")),
        ("work/iter_300.pth@c.py", ("work/iter_300", "work/iter_300.pth", "c.py")),
    ],
)
def test_name_checkpoint_and_config_are_told_apart(text, expected) -> None:
    assert parse_model_source(text, "default.py") == ModelSource(*expected)


def test_an_existing_file_is_a_checkpoint_whatever_its_name(tmp_path) -> None:
    file = tmp_path / "lr=1e-5@home.pth"
    file.touch()
    assert parse_model_source(str(file), "c.py").checkpoint == str(file)
    assert parse_model_source(f"x={file}", "c.py") == ModelSource("x", str(file), "c.py")


@pytest.mark.parametrize("text", ["=a.pt", "a=", "a=@c.py"])
def test_missing_parts_are_refused(text) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        parse_model_source(text, "c.py")


def test_a_checkpoint_without_config_is_refused() -> None:
    with pytest.raises(ValueError, match="with which config"):
        parse_model_source("a.pt", None)


def test_equal_names_are_refused() -> None:
    assert default_name("x/best_AP.pth") == "x/best_AP"
    with pytest.raises(ValueError, match="would be called 'a'"):
        check_names(["a", "b", "a"])


def test_retrieval_settings_are_those_of_the_loss_or_of_its_part() -> None:
    loss = dict(type="DecoupledAlignmentLoss", temperature=0.02, threshold=0.5)
    both = dict(type="WeightedLosses", losses=dict(other=dict(type="FeatureDistillationLoss"), align=loss))
    for config, expected in ((loss, (0.02, 0.5)), (both, (0.02, 0.5)), (dict(type="Other"), (0.01, 0.3))):
        assert retrieval_settings(Config(dict(model=dict(loss=config)))) == expected


def test_dense_maps_are_those_of_the_encoder_on_normalised_rgb(make_model) -> None:
    model = make_model()
    images = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    encoder = DenseImageEncoder(checkpoint=STUDENT)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (encoder.mean, encoder.std))
    expected = encoder.dense((images.flip(1).float() / 255 - mean) / std)
    torch.testing.assert_close(model.dense(images), expected)
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())


def test_texts_are_embedded_with_templates(make_model) -> None:
    model = make_model()
    clip = build_clip("TinyScenes-S", STUDENT)
    tokens = build_tokenizer("TinyScenes-S")(["sky", "a photo of a sky"])
    with torch.no_grad():
        plain, photo = torch.nn.functional.normalize(clip.encode_text(tokens), dim=-1)
    torch.testing.assert_close(model.embed_texts(["sky"], "plain")[0], plain, atol=1e-5, rtol=0)
    mean = torch.nn.functional.normalize(plain + photo, dim=0)  # the config's two templates
    torch.testing.assert_close(model.embed_texts(["sky"])[0], mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.embed_captions(["sky"])[0], plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("texts", [["sky", ""], ["sky", "  "]])
def test_a_text_without_a_token_is_refused(make_model, texts) -> None:
    with pytest.raises(ValueError, match="has no token"):
        make_model().embed_texts(texts)


def test_another_vocabulary_is_embedded_with_the_same_prompts(make_model, tmp_path) -> None:
    (tmp_path / "two.txt").write_text("sea\nsky\n")
    model = make_model()
    own, other = model.class_embeddings(), model.class_embeddings(str(tmp_path / "two.txt"))
    assert other.classes == ("sea", "sky")
    torch.testing.assert_close(other.embeddings, own.select(["sea", "sky"]).embeddings, atol=1e-5, rtol=0)


def test_a_training_checkpoint_gives_its_ensemble_and_the_text_tower_of_its_config(make_model, tmp_path) -> None:
    initial = DenseImageEncoder(checkpoint=STUDENT).state_dict()
    trained = {f"encoder.{name}": value + 0.1 if "blocks" in name else value for name, value in initial.items()}
    ensemble = dict(alpha=0.5, initial_state_dict={f"encoder.{name}": value for name, value in initial.items()})
    torch.save(dict(state_dict=trained, meta={}, weight_ensemble=ensemble), tmp_path / "iter_8.pth")
    model = make_model(str(tmp_path / "iter_8.pth"))
    name = "visual.trunk.blocks.0.mlp.fc1.weight"
    torch.testing.assert_close(model.encoder.state_dict()[name], initial[name] + 0.05)
    torch.testing.assert_close(model.embed_texts(["sky"]), make_model().embed_texts(["sky"]))


def test_weights_of_another_architecture_are_refused(make_model) -> None:
    with pytest.raises(ValueError, match="exported from 'TinyScenes-T'"):
        _ = make_model(TEACHER).encoder


def test_a_config_without_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match="its model has no encoder"):
        AnalysisModel(ModelSource("x", STUDENT, "configs/tiny/fvit_original.py"))
