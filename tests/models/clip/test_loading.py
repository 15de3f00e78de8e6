import pytest
import torch
from safetensors.torch import save_file

from densevlm_mm.models.clip import build_clip, load_visual, read_state_dict
from densevlm_mm.models.encoders import DenseImageEncoder


def original_eva(state_dict):
    """Rename open_clip's EVA-02 keys to those of the original EVA-CLIP releases, with their stored rotary tables."""
    names = [("visual.trunk.", "visual."), (".attn.norm.", ".attn.inner_attn_ln."), (".mlp.norm.", ".mlp.ffn_ln.")]
    names += [(".mlp.fc1_g.", ".mlp.w1."), (".mlp.fc1_x.", ".mlp.w2."), (".mlp.fc2.", ".mlp.w3.")]
    names += [(".q_proj.bias", ".q_bias"), (".v_proj.bias", ".v_bias")]
    renamed = {}
    for key, value in state_dict.items():
        for new, old in names:
            key = key.replace(new, old) if key.startswith("visual.") else key
        renamed[key] = value
    tables = ["visual.rope", "visual.blocks.0.attn.rope", "visual.blocks.1.attn.rope"]
    return {**renamed, **{f"{t}.freqs_{f}": torch.zeros(16, 16) for t in tables for f in ("cos", "sin")}}


def write(path, kind, model):
    """Write a model in one of the published formats."""
    weights = model.state_dict()
    if kind == "open_clip":
        torch.save(weights, path)
    elif kind == "open_clip training":
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, path)
    elif kind == "safetensors":
        save_file({k: v.contiguous().clone() for k, v in weights.items()}, path)
    elif kind == "half precision":
        torch.save({k: v.bfloat16() if v.is_floating_point() else v for k, v in weights.items()}, path)
    elif kind == "eva":
        torch.save(original_eva(weights), path)
    elif kind == "eva training":
        wrapped = {f"module.{k}": v for k, v in original_eva(weights).items()}
        torch.save({"epoch": 6, "name": "run", "state_dict": wrapped, "optimizer": {"state": {0: {"step": 1}}}}, path)
    elif kind == "runner":
        encoder = {f"encoder.{k}": v for k, v in weights.items() if k.startswith("visual.")}
        torch.save({"meta": {"iter": 3}, "state_dict": {**encoder, "head.weight": torch.ones(1)}}, path)
    else:
        raise AssertionError(kind)
    return path


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        ("open_clip", "vit"),
        ("open_clip", "resnet"),
        ("open_clip", "convnext"),
        ("open_clip", "eva01"),
        ("open_clip training", "vit"),
        ("safetensors", "eva02"),
        ("eva", "eva02"),
        ("eva", "eva01"),
        ("eva training", "eva02"),
        ("runner", "vit"),
        ("runner", "eva02"),
    ],
)
def test_every_format_gives_the_same_tower(stock_model, stock_config, images, tmp_path, kind, family):
    model = stock_model(family)
    path = write(tmp_path / "weights.pt", kind, model)
    encoder = DenseImageEncoder(stock_config(family), str(path))
    expected = DenseImageEncoder(clip_model=model)
    assert torch.equal(encoder.dense(images(64, 96)), expected.dense(images(64, 96)))
    assert torch.equal(encoder(images(64, 64)), expected(images(64, 64)))
    if kind != "runner":
        loaded = build_clip(stock_config(family), path)
        tokens = torch.arange(16).reshape(2, 8) % 20
        assert torch.equal(loaded.encode_text(tokens), model.encode_text(tokens))
        assert torch.equal(loaded.logit_scale, model.logit_scale)
        assert not loaded.training
        assert loaded.model_cfg == stock_config(family)


def test_lower_precision_is_read_into_float32(stock_model, stock_config, tmp_path):
    path = write(tmp_path / "weights.pt", "half precision", stock_model("vit"))
    visual = load_visual(stock_config("vit"), path)
    assert {p.dtype for p in visual.parameters()} == {torch.float32}
    assert torch.equal(visual.proj, stock_model("vit").visual.proj.bfloat16().float())


def test_weight_ensemble_of_a_runner_checkpoint_is_applied(stock_model, stock_config, tmp_path):
    trained, start = (stock_model("vit", seed).state_dict() for seed in (0, 1))
    as_encoder = lambda w: {f"encoder.{k}": v for k, v in w.items() if k.startswith("visual.")}  # noqa: E731
    ensemble = {"alpha": 0.9, "initial_state_dict": as_encoder(start)}
    path = tmp_path / "epoch_6.pth"
    torch.save({"state_dict": as_encoder(trained), "weight_ensemble": ensemble}, path)
    found = load_visual(stock_config("vit"), path).state_dict()
    for key, value in found.items():
        expected = 0.9 * trained[f"visual.{key}"] + 0.1 * start[f"visual.{key}"]
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=1e-6)


def test_split_projections_of_a_training_run_come_back_fused(stock_model, stock_config, images, tmp_path):
    encoder = DenseImageEncoder(clip_model=stock_model("vit"), trainable="blocks")
    path = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": {f"encoder.{k}": v for k, v in encoder.state_dict().items()}}, path)
    again = DenseImageEncoder(stock_config("vit"), str(path), trainable="blocks")
    assert torch.equal(again.dense(images(32, 32)), encoder.dense(images(32, 32)))


def test_text_tower_layouts_are_exchangeable(stock_model, stock_config, tmp_path):
    """The same text tower, stored at the top level and loaded into a model that keeps it under `text`."""
    path = write(tmp_path / "weights.pt", "open_clip", stock_model("vit"))
    model = build_clip({**stock_config("vit"), "custom_text": True}, path)
    assert torch.equal(model.text.text_projection, stock_model("vit").text_projection)
    nested = write(tmp_path / "nested.pt", "open_clip", model)
    assert torch.equal(build_clip(stock_config("vit"), nested).text_projection, model.text.text_projection)


@pytest.fixture
def openai_archive(stock_model, save_openai_archive, tmp_path):
    return save_openai_archive(stock_model("vit"), tmp_path / "ViT-B-16.pt")


def test_openai_archives_load_with_quickgelu(stock_model, stock_config, openai_archive):
    model = build_clip(stock_config("vit"), openai_archive)
    weights = stock_model("vit").state_dict()
    assert all(torch.equal(v, weights[k].half().float()) for k, v in model.state_dict().items())
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_openai_archives_without_quickgelu_are_refused(stock_config, openai_archive):
    config = {**stock_config("vit"), "quick_gelu": False}
    for load in (build_clip, load_visual):
        with pytest.raises(ValueError, match=r"trained with QuickGELU .* use quick_gelu=True in the config"):
            load(config, openai_archive)


def test_openai_resnets_need_quickgelu_in_the_text_tower_only(stock_model, stock_config, save_openai_archive, tmp_path):
    path = save_openai_archive(stock_model("resnet"), tmp_path / "RN50.pt")
    load_visual(stock_config("resnet"), path)
    with pytest.raises(ValueError, match="QuickGELU"):
        build_clip(stock_config("resnet"), path)


def test_tags_are_checked_before_they_are_downloaded():
    with pytest.raises(ValueError, match=r"no pretrained tag 'openay'.*'openai'"):
        build_clip("ViT-B-16", "open_clip:openay")
    with pytest.raises(ValueError, match="no pretrained tag"):
        build_clip({"embed_dim": 8, "vision_cfg": {}, "text_cfg": {}}, "open_clip:openai")


def test_a_tag_of_quickgelu_weights_needs_the_quickgelu_architecture(
    tmp_path, register_clip, stock_model, stock_config
):
    """The tag's weights are a local file here, as open_clip allows; nothing is downloaded."""
    path = write(tmp_path / "weights.pt", "open_clip", stock_model("vit"))
    tag = {"file": str(path), "quick_gelu": True, "mean": (0.1, 0.2, 0.3), "std": (1, 1, 1)}
    register_clip("EncoderTest", {**stock_config("vit"), "quick_gelu": False}, release=tag)
    register_clip("EncoderTest-quickgelu", stock_config("vit"), release=tag)
    with pytest.raises(ValueError, match="use model_name='EncoderTest-quickgelu'"):
        build_clip("EncoderTest", "open_clip:release")
    encoder = DenseImageEncoder("EncoderTest-quickgelu", "open_clip:release")
    assert encoder.mean == (0.1, 0.2, 0.3)
    assert encoder.model_name == "EncoderTest-quickgelu"


def test_a_file_name_that_speaks_of_openai_only_warns(stock_model, stock_config, tmp_path, capture_log):
    path = write(tmp_path / "vit_openai.pt", "open_clip", stock_model("vit"))
    load_visual(stock_config("vit"), path)
    assert capture_log() == []
    load_visual({**stock_config("vit"), "quick_gelu": False}, path)
    assert len(capture_log()) == 1
    assert "QuickGELU" in capture_log()[0]


def test_a_checkpoint_must_be_named(stock_config):
    for load in (build_clip, load_visual):
        with pytest.raises(ValueError, match="'random' asks for random weights"):
            load(stock_config("vit"), None)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_visual(stock_config("vit"), "nowhere/weights.pt")


def test_the_architecture_must_be_named_or_stored(stock_model, tmp_path):
    path = write(tmp_path / "weights.pt", "open_clip", stock_model("vit"))
    with pytest.raises(ValueError, match="give model_name"):
        load_visual(None, path)


def test_a_missing_text_tower_names_the_fix(stock_model, stock_config, tmp_path):
    path = write(tmp_path / "weights.pt", "runner", stock_model("vit"))
    with pytest.raises(ValueError, match=r"only an image tower .* load the file with DenseImageEncoder"):
        build_clip(stock_config("vit"), path)


@pytest.mark.parametrize("given", ["eva02", "resnet"])
def test_a_wrong_architecture_is_named_with_the_first_keys(stock_model, stock_config, tmp_path, given):
    path = write(tmp_path / "weights.pt", "open_clip", stock_model("vit"))
    with pytest.raises(
        ValueError, match=r"does not fit 'custom': keys .* missing .* unexpected .*another architecture"
    ):
        load_visual(stock_config(given), path)


def test_one_missing_or_unexpected_key_is_an_error(stock_model, stock_config, tmp_path):
    weights, path = stock_model("vit").state_dict(), tmp_path / "weights.pt"
    torch.save({k: v for k, v in weights.items() if k != "visual.ln_post.bias"}, path)
    with pytest.raises(ValueError, match=r"1 missing \(ln_post\.bias\)"):
        load_visual(stock_config("vit"), path)
    torch.save({**weights, "visual.extra": torch.ones(1)}, path)
    with pytest.raises(ValueError, match=r"1 unexpected \(extra\)"):
        load_visual(stock_config("vit"), path)


def test_another_native_size_is_named(stock_model, stock_config, tmp_path):
    path = write(tmp_path / "weights.pt", "open_clip", stock_model("vit"))
    config = stock_config("vit")
    config["vision_cfg"]["image_size"] = 64
    with pytest.raises(
        ValueError, match=r"positional_embedding: \(17, 32\) in the file, \(65, 32\) expected.*native image size"
    ):
        load_visual(config, path)


def test_scalars_of_either_shape_load(stock_model, stock_config, tmp_path):
    weights, path = stock_model("vit").state_dict(), tmp_path / "weights.pt"
    torch.save({**weights, "logit_scale": weights["logit_scale"].reshape(1)}, path)
    assert build_clip(stock_config("vit"), path).logit_scale.shape == ()


def test_old_resnets_without_batch_counters_load(stock_model, stock_config, tmp_path):
    weights, path = stock_model("resnet").state_dict(), tmp_path / "weights.pt"
    torch.save({k: v for k, v in weights.items() if not k.endswith("num_batches_tracked")}, path)
    load_visual(stock_config("resnet"), path)


def test_read_state_dict_is_in_open_clip_layout(stock_model, tmp_path):
    model = stock_model("eva02")
    found = read_state_dict(write(tmp_path / "weights.pt", "eva training", model))
    assert found.keys() == model.state_dict().keys()


def test_the_weight_ensemble_is_logged_and_another_alpha_is_a_choice(stock_model, stock_config, tmp_path, capture_log):
    trained, start = (
        {f"encoder.{k}": v for k, v in stock_model("vit", seed).state_dict().items() if k.startswith("visual.")}
        for seed in (0, 1)
    )
    path = tmp_path / "iter_6.pth"
    ensemble = {"alpha": 0.75, "initial_state_dict": start}
    torch.save({"state_dict": trained, "meta": {}, "weight_ensemble": ensemble}, path)
    for alpha, used in ((None, 0.75), (0.5, 0.5)):
        found = read_state_dict(path, alpha=alpha)["visual.proj"]
        expected = used * trained["encoder.visual.proj"] + (1 - used) * start["encoder.visual.proj"]
        torch.testing.assert_close(found, expected)
    assert [line.split(": ", 1)[1] for line in capture_log()] == [
        "weight ensemble, 0.75 * trained + 0.25 * initial weights",
        "weight ensemble, 0.5 * trained + 0.5 * initial weights (asked for, the checkpoint says 0.75)",
    ]
    torch.save({"state_dict": trained, "meta": {}, "weight_ensemble": {"alpha": 0.75}}, path)
    with pytest.raises(ValueError, match=r"iter_6\.pth.*lacks 'alpha' or 'initial_state_dict'"):
        read_state_dict(path)
