"""From training to plain open_clip and to our backbone: nothing is lost, for every family of towers."""

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import pytest
import torch
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from PIL import Image
from torch import nn
from torchvision.transforms import Compose

from densevlm_mm.models.backbones import DenseVLMBackbone
from densevlm_mm.models.clip import build_clip
from densevlm_mm.models.clip.architecture import preprocess_tuples
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.structures import RegionDataSample
from tests.fixtures.file_server import FileServer

ROOT = Path(__file__).parents[2]
OPENAI = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD, "resize_mode": "shortest"}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "resize_mode": "squash"}
TOKENS = torch.arange(16).reshape(2, 8) % 20


@pytest.fixture
def export() -> Callable[..., Path]:
    return runpy.run_path(str(ROOT / "tools/export_encoder.py"))["export"]


@pytest.fixture
def published(
    stock_model, stock_config, register_clip, save_openai_archive, tmp_path, monkeypatch
) -> Callable[[str], dict[str, str]]:
    """Weights as they are published, for each family another way; what a config says of them."""
    monkeypatch.chdir(tmp_path)
    Path("weights").mkdir()

    def publish(family: str) -> dict[str, str]:
        model, config = stock_model(family), stock_config(family)
        name = f"EncoderTest-{family}"
        file = Path("weights") / f"{family}.pt"
        if family == "vit":  # a tag, as open_clip's own releases
            torch.save(model.state_dict(), file)
            register_clip(name, config, release={"file": str(file), "quick_gelu": True, **OPENAI})
            return dict(model_name=name, checkpoint="open_clip:release")
        if family == "resnet":  # OpenAI's archive
            register_clip(name, {**config, "quick_gelu": True})
            return dict(model_name=name, checkpoint=str(save_openai_archive(model, file)))
        if family == "siglip":  # a tag with a normalisation of its own
            torch.save(model.state_dict(), file)
            register_clip(name, config, webli={"file": str(file), **HALF})
            return dict(model_name=name, checkpoint="open_clip:webli")
        if family == "convnext":  # a repository of the hub, as a folder
            folder = Path("weights") / "convnext"
            folder.mkdir()
            torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
            (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": HALF}))
            return dict(checkpoint=str(folder))
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}}, file)
        register_clip(name, config)
        return dict(model_name=name, checkpoint=str(file))

    return publish


def train(encoder: dict[str, Any], **student: Any) -> Path:
    """Two steps of CLIPSelf on noise, by the real runner, pretrainer and hooks; ``student`` has its own settings."""
    torch.manual_seed(0)
    boxes = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 1.0, 1.0]])
    dataset = [
        dict(
            inputs=torch.randint(256, (3, 64, 64), dtype=torch.uint8),
            data_samples=RegionDataSample(regions=InstanceData(boxes_norm_xyxy=boxes)),
        )
        for _ in range(2)
    ]
    encoder = dict(type="DenseImageEncoder", **encoder)
    runner = Runner(
        model=dict(
            type="RegionPretrainer",
            encoder={**encoder, "trainable": "blocks", **student},
            loss=dict(type="FeatureDistillationLoss"),
        ),
        work_dir="work",
        train_dataloader=dict(
            dataset=dataset,
            batch_size=1,
            num_workers=0,
            sampler=dict(type="DefaultSampler", shuffle=False),
            collate_fn=dict(type="pseudo_collate"),
        ),
        train_cfg=dict(by_epoch=False, max_iters=2),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=1e-2)),
        default_hooks=dict(
            checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=2),
            strict_checkpoint=dict(type="StrictCheckpointHook"),
            encoder_metadata=dict(type="EncoderMetadataHook"),
        ),
        custom_hooks=[
            dict(type="CropTeacherHook", teacher=encoder),
            dict(type="WeightEnsembleHook", alpha=0.75),
        ],
        default_scope="densevlm_mm",
        experiment_name=f"export_{id(encoder)}",
        log_level="ERROR",
    )
    runner.train()
    return Path("work/iter_2.pth")


@pytest.mark.parametrize("family", ["vit", "eva02", "siglip", "resnet", "convnext"])
def test_training_export_open_clip_and_backbone_agree(
    published, export, stock_model, stock_config, images, family
) -> None:
    source = published(family)
    checkpoint = train(source)
    trained = DenseImageEncoder(checkpoint=str(checkpoint))
    x, native = images(64, 64), images(trained.image_size, trained.image_size)
    dense, embedding = trained.dense(x), trained(native)
    assert not torch.equal(dense, DenseImageEncoder(**source).dense(x))  # it did learn
    expected = HALF if family in ("siglip", "convnext") else OPENAI
    assert {key: trained.preprocess_cfg[key] for key in expected} == expected

    file = export(str(checkpoint), "out/encoder.safetensors")
    folder = export(str(checkpoint), "out/encoder").parent
    plain, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    assert preprocess_tuples(plain.visual.preprocess_cfg) == trained.preprocess_cfg
    plains = [plain]
    if family != "convnext":  # whose architecture open_clip has never heard of
        plains.append(open_clip.create_model(trained.model_name, pretrained=str(file)))
    text = text_features(stock_model(family), stock_config(family))
    for model in plains:
        with torch.no_grad():
            torch.testing.assert_close(model.eval().encode_image(native), embedding, atol=1e-4, rtol=1e-4)
            assert torch.equal(model.encode_text(TOKENS), text)

    picture = Image.fromarray(torch.randint(256, (80, 100, 3), dtype=torch.uint8).numpy())
    pixels = Compose(preprocess.transforms[:-1])(picture)  # all but the normalisation
    for exported in (str(file), str(folder)):
        encoder = dict(type="DenseImageEncoder", checkpoint=exported)
        backbone = DenseVLMBackbone(encoder, out_indices=(0,), adapt=False)
        assert torch.equal(backbone.forward_with_dense(x)[1], dense)
        assert torch.equal(backbone.encoder(native), embedding)
        assert backbone.encoder.preprocess_cfg == trained.preprocess_cfg
        torch.testing.assert_close(backbone.encoder.normalize(pixels, max_value=1), preprocess(picture))


def text_features(stock: nn.Module, config: dict[str, Any]) -> torch.Tensor:
    """What the text tower of the published weights gives, by open_clip alone."""
    if "layers" in config["vision_cfg"] and isinstance(config["vision_cfg"]["layers"], list):
        # OpenAI's ResNet: half precision, and QuickGELU in the text tower.
        weights = stock.half().float().state_dict()
        stock = open_clip.CLIP(**config, quick_gelu=True)
        stock.load_state_dict(weights)
    with torch.no_grad():
        return stock.eval().encode_text(TOKENS)  # type: ignore[operator]


def test_the_checkpoints_alpha_counts_unless_another_is_asked_for(published, export) -> None:
    checkpoint = train(published("eva02"))
    content = torch.load(checkpoint)
    name = "visual.trunk.blocks.0.mlp.fc2.weight"
    raw = content["state_dict"][f"encoder.{name}"]
    initial = content["weight_ensemble"]["initial_state_dict"][f"encoder.{name}"]
    for alpha, used in ((None, 0.75), (1.0, 1.0), (0.0, 0.0)):
        file = export(str(checkpoint), "out.safetensors", image_only=True, alpha=alpha)
        found = DenseImageEncoder(checkpoint=str(file)).state_dict()[name]
        torch.testing.assert_close(found, used * raw + (1 - used) * initial)
    with pytest.raises(ValueError, match=r"--alpha must be in \[0, 1\], got 1\.5"):
        export(str(checkpoint), "out.safetensors", alpha=1.5)


def test_the_text_tower_may_come_from_elsewhere(published, export, stock_model) -> None:
    source = published("siglip")
    checkpoint = train(source)
    other = stock_model("siglip", seed=3)
    torch.save(other.state_dict(), "other.pt")
    file = export(str(checkpoint), "out.safetensors", text_from="other.pt")
    plain = open_clip.create_model("EncoderTest-siglip", pretrained=str(file)).eval()
    with torch.no_grad():
        assert torch.equal(plain.encode_text(TOKENS), other.encode_text(TOKENS))
    assert DenseImageEncoder(checkpoint=str(file)).mean == (0.5, 0.5, 0.5)  # of the image tower's weights


def test_a_text_tower_that_is_not_there_names_the_fix(published, export, tmp_path) -> None:
    source = published("eva02")
    checkpoint = train(dict(source, checkpoint=str(tmp_path / source["checkpoint"])))  # an absolute path is not stored
    with pytest.raises(FileNotFoundError, match=r"text tower, eva02\.pt, are not there: give them with --text-from"):
        export(str(checkpoint), "out.safetensors")
    assert not Path("out.safetensors").exists()
    export(str(checkpoint), "out.safetensors", text_from=source["checkpoint"])
    export(str(checkpoint), "image.safetensors", image_only=True)


def test_values_that_half_precision_cannot_hold_are_refused(published, export) -> None:
    checkpoint = train(published("eva02"))
    content = torch.load(checkpoint)
    for weights in (content["state_dict"], content["weight_ensemble"]["initial_state_dict"]):
        weights["encoder.visual.trunk.norm.weight"] += 1e5
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match=r"visual\.trunk\.norm\.weight' holds infinite values"):
        export(str(checkpoint), "out.safetensors", dtype="float16")
    export(str(checkpoint), "out.safetensors", dtype="bfloat16")


def test_other_checkpoints_are_refused(export, tmp_path) -> None:
    torch.save(dict(state_dict=nn.Linear(3, 2).state_dict(), meta={}), tmp_path / "detector.pth")
    with pytest.raises(ValueError, match=r"detector\.pth does not say what its encoder is"):
        export(str(tmp_path / "detector.pth"), str(tmp_path / "out.safetensors"))
    with pytest.raises(FileNotFoundError, match="does not exist"):
        export(str(tmp_path / "none.pth"), str(tmp_path / "out.safetensors"))


VALUES = dict(type="values", layers=2, gate=True)


@pytest.mark.parametrize("family", ["vit", "eva02"])
def test_the_value_path_and_its_gate_travel_with_the_weights(published, export, images, family) -> None:
    source = published(family)
    checkpoint = train(source, dense_path=VALUES)
    trained = DenseImageEncoder(checkpoint=str(checkpoint))
    assert trained.dense_path == VALUES
    stored = torch.load(checkpoint)
    raw = stored["state_dict"]["encoder.value_gate.weight"]
    assert raw.any()
    torch.testing.assert_close(trained.value_gate.weight, 0.75 * raw)  # it began with 0
    dense = trained.dense(images(64, 64))
    assert not torch.equal(dense, DenseImageEncoder(**source, dense_path=VALUES).dense(images(64, 64)))

    file = export(str(checkpoint), "out/encoder.safetensors")
    half = export(str(checkpoint), "half.safetensors", image_only=True, dtype="bfloat16")
    again = DenseImageEncoder(checkpoint=str(file))
    assert torch.equal(again.dense(images(64, 64)), dense)
    assert torch.equal(DenseImageEncoder(checkpoint=str(half)).value_gate.weight, trained.value_gate.weight)
    assert torch.equal(DenseImageEncoder(clip_model=build_clip(None, file)).dense(images(64, 64)), dense)
    native = images(32, 32)
    with torch.no_grad():
        plain = open_clip.create_model(trained.model_name, pretrained=str(file)).eval()
        torch.testing.assert_close(plain.encode_image(native), again(native), atol=1e-4, rtol=1e-4)
    for weights in (checkpoint, file):
        assert DenseImageEncoder(checkpoint=str(weights), dense_path=VALUES).dense_path == VALUES
        for other in ("residual", dict(type="values", layers=1, gate=True), dict(VALUES, gate=False)):
            with pytest.raises(
                ValueError, match=r"was trained with dense_path=\{.*\}, got dense_path=.*: leave it out"
            ):
                DenseImageEncoder(checkpoint=str(weights), dense_path=other)
        with pytest.raises(ValueError, match="use one of the two"):
            DenseImageEncoder(checkpoint=str(weights), dense_residual="cls")


def test_the_usual_path_is_recorded_too(published, export) -> None:
    checkpoint = train(published("eva02"))
    file = export(str(checkpoint), "out.safetensors", image_only=True)
    for weights in (checkpoint, file):
        assert DenseImageEncoder(checkpoint=str(weights)).dense_path == "residual"
        with pytest.raises(ValueError, match="was trained with dense_path=residual, got dense_path="):
            DenseImageEncoder(checkpoint=str(weights), dense_path=VALUES)


@pytest.mark.parametrize(
    ("family", "student"),
    [("vit", dict()), ("siglip", dict()), ("eva02", dict()), ("eva02", dict(dense_path=VALUES))],
)
def test_both_ends_of_a_training_in_one_encoder(published, export, images, family, student) -> None:
    source = published(family)
    checkpoint = train(source, unlocked_groups=1, **student)
    file = export(str(checkpoint), "out/encoder.safetensors", keep_global=True)
    assert sorted(path.name for path in Path("out").iterdir()) == ["encoder.dense.safetensors", "encoder.safetensors"]
    initial, trained = DenseImageEncoder(**source), DenseImageEncoder(checkpoint=str(checkpoint))
    both = DenseImageEncoder(checkpoint=str(file))
    assert len(both.dense_blocks) == 1
    for x in (images(32, 32), images(64, 40)):
        assert torch.equal(both(x), initial(x))
        assert torch.equal(both.dense(x), trained.dense(x))
        assert not torch.equal(trained(x), initial(x))
        features = both.features(x, (0, -1))
        assert all(torch.equal(a, b) for a, b in zip(features, trained.features(x, (0, -1)), strict=True))
    plain = open_clip.create_model(both.model_name, pretrained=str(file)).eval()
    with torch.no_grad():
        torch.testing.assert_close(plain.encode_image(images(32, 32)), initial(images(32, 32)), atol=1e-5, rtol=1e-5)

    folder = export(str(checkpoint), "hub", keep_global=True).parent
    assert torch.equal(DenseImageEncoder(checkpoint=str(folder)).dense(images(32, 32)), both.dense(images(32, 32)))
    export(str(checkpoint), "hub")
    assert not list(folder.glob("*.dense.*"))  # it belonged to the file that was replaced


def test_blocks_that_both_share_run_once(published, export, images) -> None:
    file = export(str(train(published("eva02"), unlocked_groups=1)), "out.safetensors", keep_global=True)
    encoder = DenseImageEncoder(checkpoint=str(file))
    calls = []
    for index, block in enumerate([*encoder.blocks, *encoder.dense_blocks]):
        block.mlp.register_forward_pre_hook(lambda *_, index=index: calls.append(index))
    dense, embedding = encoder.dense_and_global(images(64, 40))
    assert calls == [0, 2, 1]
    assert torch.equal(dense, encoder.dense(images(64, 40)))
    assert torch.equal(embedding, encoder(images(64, 40)))


def test_each_of_the_two_files_says_that_the_other_is_missing(published, export) -> None:
    checkpoint = train(published("eva02"))
    file = export(str(checkpoint), "out/encoder.safetensors", keep_global=True)
    with pytest.raises(ValueError, match=r"trained blocks alone .* the same name without '\.dense'"):
        DenseImageEncoder(checkpoint="out/encoder.dense.safetensors")
    Path("out/encoder.dense.safetensors").rename("moved.safetensors")
    with pytest.raises(
        FileNotFoundError, match=r"holds the initial blocks; the trained ones, .*encoder\.dense\.safetensors'"
    ):
        DenseImageEncoder(checkpoint=str(file))
    export(str(checkpoint), "other.safetensors", keep_global=True, alpha=0.5)
    Path("other.dense.safetensors").rename("out/encoder.dense.safetensors")
    with pytest.raises(
        ValueError, match=r"does not belong to 'out/encoder\.safetensors': take the two files of one export"
    ):
        DenseImageEncoder(checkpoint=str(file))


def test_an_encoder_of_two_ends_does_not_train(published, export) -> None:
    file = export(str(train(published("eva02"))), "out.safetensors", keep_global=True)
    with pytest.raises(
        ValueError, match=r"exported with --keep-global and holds 2 transformer blocks .*'blocks' must be"
    ):
        DenseImageEncoder(checkpoint=str(file), trainable="blocks")


@pytest.mark.parametrize(
    ("family", "student", "message"),
    [
        ("resnet", dict(), "branches at a transformer's blocks"),
        ("eva02", dict(trainable="all"), "outside of them was trained too"),
    ],
)
def test_global_embeddings_that_cannot_be_kept_are_refused(published, export, family, student, message) -> None:
    checkpoint = train(published(family), **student)
    with pytest.raises(ValueError, match=message):
        export(str(checkpoint), "out.safetensors", keep_global=True)
    with pytest.raises(ValueError, match=r"no weight differs|branches at"):
        export(str(checkpoint), "out.safetensors", keep_global=True, alpha=0.0)
    content = torch.load(checkpoint)
    del content["weight_ensemble"]
    torch.save(content, "raw.pth")
    with pytest.raises(ValueError, match="does not hold the initial weights"):
        export("raw.pth", "out.safetensors", keep_global=True)
    assert not Path("out.safetensors").exists()


@pytest.fixture
def hub(file_server, tmp_path, monkeypatch) -> FileServer:
    """huggingface.co on this machine: its client asks there, and keeps what it gets in the test's folder."""
    template = huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE
    moved = template.replace(huggingface_hub.constants.ENDPOINT, file_server.address)
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", moved)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", file_server.address)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub_cache"))

    def upload(self: Any, repo_id: str, folder_path: Path, **options: Any) -> None:
        for path in Path(folder_path).iterdir():
            for revision in ("main", "c0ffee"):
                file_server.files[f"/{repo_id}/resolve/{revision}/{path.name}"] = path.read_bytes()

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, repo_id, **options: None)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    return file_server


def run_tool(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["export_encoder.py", *map(str, arguments)])
    runpy.run_path(str(ROOT / "tools/export_encoder.py"), run_name="__main__")


def test_what_was_pushed_to_the_hub_is_read_from_it(published, hub, monkeypatch, capsys, images) -> None:
    checkpoint = train(published("siglip"))
    trained = DenseImageEncoder(checkpoint=str(checkpoint))
    Path("test.json").write_text(json.dumps(dict(metrics=dict(boxes_top1=61.5), evaluation=dict(num_images=5))))
    run_tool(monkeypatch, checkpoint, "out/mine", "--results", "test.json", "--push-to-hub", "me/mine")
    assert "uploaded       https://huggingface.co/me/mine" in capsys.readouterr().out
    card = Path("out/mine/README.md").read_text()
    for words in ("# me/mine", "| alpha | 0.75", "| iterations | 2 |", "| boxes_top1 | 61.5 |"):
        assert words in card

    encoder = DenseImageEncoder(checkpoint="hf-hub:me/mine")
    assert torch.equal(encoder.dense(images(64, 64)), trained.dense(images(64, 64)))
    assert encoder.mean == (0.5, 0.5, 0.5)
    assert any(path.startswith("/me/mine/resolve/") for _, path, _ in hub.requests)


def test_both_files_are_pushed_and_read_from_the_hub(published, hub, monkeypatch, images) -> None:
    checkpoint = train(published("eva02"), unlocked_groups=1)
    run_tool(monkeypatch, checkpoint, "out/two", "--push-to-hub", "me/two", "--keep-global", "--alpha", "0.5:1")
    here, there = (DenseImageEncoder(checkpoint=name) for name in ("out/two", "hf-hub:me/two"))
    assert torch.equal(there.dense(images(64, 64)), here.dense(images(64, 64)))
    assert torch.equal(there(images(64, 64)), here(images(64, 64)))
    assert len(there.dense_blocks) == 1
    card = Path("out/two/README.md").read_text()
    assert "| alpha | 0.5 in the first block to 1 in the last" in card
    assert "| global embedding | that of the initial weights" in card


def test_only_a_folder_is_pushed(monkeypatch, capsys) -> None:
    with pytest.raises(SystemExit):
        run_tool(monkeypatch, "iter.pth", "out.safetensors", "--push-to-hub", "me/mine")
    assert "give OUT without an ending" in capsys.readouterr().err
