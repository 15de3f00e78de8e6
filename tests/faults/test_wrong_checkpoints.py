"""Whatever a user gives as a checkpoint: it is loaded as it was written, or one line names the file and what to do."""

import os
import re
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner, load_checkpoint
from safetensors.torch import save_file
from torch import Tensor, nn

from densevlm_mm.apis import use_checkpoint
from densevlm_mm.models.clip import build_clip
from densevlm_mm.models.encoders import DenseImageEncoder
from tests.fixtures.hostile_files import CallsOnLoad, RestoredByCode

WRONG: dict[str, tuple[Callable[..., Any], str]] = {}


def wrong(message: str) -> Callable:
    """A kind of wrong file: a function that writes it, and what must be said of it."""

    def register(write: Callable) -> Callable:
        WRONG[write.__name__] = (write, message)
        return write

    return register


@wrong(r"does not exist.*give the path of a downloaded file")
def missing(path: Path, model: nn.Module, trace: Path) -> None:
    pass


@wrong(r"is empty: download it again")
def empty(path: Path, model: nn.Module, trace: Path) -> None:
    path.touch()


@wrong(r"is a folder|is not in hub layout")
def folder(path: Path, model: nn.Module, trace: Path) -> None:
    path.mkdir()


@wrong(r"is a text file")
def text(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_text("put EVA02_CLIP_B_psz16_s8B.pt here")


@wrong(r"HTML page: download the file itself")
def html(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_text("<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>")


@wrong(r"XML page")
def xml_of_a_bucket(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_text("<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>")


@wrong(r"git-LFS pointer: run `git lfs pull`")
def lfs_pointer(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 598641023\n")


@wrong(r"JSON text: give the weights file")
def json_config(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_text('{"embed_dim": 512}')


@wrong(r"cut short.*again")
def truncated_pt(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save(model.state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@wrong(r"cut short.*again")
def truncated_legacy_pt(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@wrong(r"cut short.*again")
def truncated_safetensors(path: Path, model: nn.Module, trace: Path) -> None:
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@wrong(r"damaged.*CRC.*again")
def hole_of_zeros_pt(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save(model.state_dict(), path)
    content, size = path.read_bytes(), path.stat().st_size
    path.write_bytes(content[: size // 2] + bytes(512) + content[size // 2 + 512 :])


@wrong(r"all values of tensor '.*visual\.proj' are zero.*again")
def hole_of_zeros_safetensors(path: Path, model: nn.Module, trace: Path) -> None:
    weights = {k: v.contiguous() for k, v in model.state_dict().items()}
    save_file({**weights, "visual.proj": torch.zeros_like(weights["visual.proj"])}, path)


@wrong(r"zip archive without weights of PyTorch.*unpack")
def zip_of_other_things(path: Path, model: nn.Module, trace: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("saved_model.pb", b"x")


@wrong(r"NumPy archive")
def npz(path: Path, model: nn.Module, trace: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(2))


@wrong(r"ONNX graph: give the weights that it was exported from")
def onnx(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.1.0" + bytes(100))


@wrong(r"gzip archive: unpack")
def gzip(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(100))


@wrong(r"HDF5 file")
def keras(path: Path, model: nn.Module, trace: Path) -> None:
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))


@wrong(r"refused.*could run any code.*trust=True")
def pickle_with_code(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save({"state_dict": model.state_dict(), "args": CallsOnLoad(os.mkdir, str(trace))}, path)


@wrong(r"refused.*could run any code")
def torchscript_with_code(path: Path, model: nn.Module, trace: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(RestoredByCode(str(trace))).save(str(path))


@wrong(r"tensor '(state_dict\.)?visual\.ln_post\.bias' holds nan.*earlier checkpoint")
def weights_of_nan(path: Path, model: nn.Module, trace: Path) -> None:
    weights = model.state_dict()
    weights["visual.ln_post.bias"] = torch.full_like(weights["visual.ln_post.bias"], float("nan"))
    torch.save(weights, path)


@wrong(r"tensor '(state_dict\.)?visual\.proj' holds infinite values")
def weights_of_infinity(path: Path, model: nn.Module, trace: Path) -> None:
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    weights["visual.proj"][0, 0] = float("inf")
    torch.save(weights, path)


@wrong(r"holds a list instead of a dict")
def a_list(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save(list(model.state_dict().values()), path)


FILE_KINDS = list(WRONG)  # what no reader takes; the rest needs a look at the architecture


@wrong(r"no state dict found.*state of an optimizer: give the weights")
def optimizer(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save(torch.optim.AdamW(model.parameters()).state_dict(), path)


@wrong(r"does not fit 'custom'.*missing.*another architecture")
def another_architecture(path: Path, model: nn.Module, trace: Path, stock_model: Callable) -> None:
    torch.save(stock_model("eva02").state_dict(), path)


@wrong(r"exported from 'Mine', which differs from 'custom' in")
def a_runner_checkpoint_of_another_architecture(path: Path, model: nn.Module, trace: Path, stock_model: Any) -> None:
    visual = {f"encoder.{k}": v for k, v in stock_model("eva02").state_dict().items() if k.startswith("visual.")}
    entry = dict(model_name="Mine", model_cfg='{"embed_dim": 16, "vision_cfg": {}, "text_cfg": {}}')
    torch.save(dict(state_dict=visual, meta={}, encoder=entry), path)


@wrong(r"conv1\.weight: \(32, 3, 4, 4\) in the file, \(32, 3, 8, 8\) expected.*check model_name")
def another_patch_size(path: Path, model: nn.Module, trace: Path) -> None:
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    weights["visual.conv1.weight"] = torch.randn(32, 3, 4, 4)
    torch.save(weights, path)


@wrong(r"positional_embedding: .*native image size")
def another_image_size(path: Path, model: nn.Module, trace: Path) -> None:
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    weights["visual.positional_embedding"] = torch.randn(65, 32)
    torch.save(weights, path)


@wrong(r"no key starts with 'visual\.'.*text tower alone")
def text_tower_alone(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save({k: v for k, v in model.state_dict().items() if not k.startswith("visual.")}, path)


@wrong(r"no key starts with 'visual\.'.*transformers: give the release for open_clip")
def layout_of_transformers(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save({"vision_model.embeddings.class_embedding": torch.ones(32)}, path)


@wrong(r"no key starts with 'visual\.'.*another kind of model")
def a_resnet_of_imagenet(path: Path, model: nn.Module, trace: Path) -> None:
    torch.save({"layer1.0.conv1.weight": torch.ones(4, 4), "fc.bias": torch.ones(4)}, path)


@wrong(r"'visual\.proj' is of type int8.*quantised weights are not supported")
def quantised(path: Path, model: nn.Module, trace: Path) -> None:
    weights = model.state_dict()
    torch.save({**weights, "visual.proj": weights["visual.proj"].to(torch.int8)}, path)


@wrong(r"'visual\.proj' is of type float8_e4m3fn.*quantised weights are not supported")
def fp8(path: Path, model: nn.Module, trace: Path) -> None:
    weights = model.state_dict()
    torch.save({**weights, "visual.proj": weights["visual.proj"].to(torch.float8_e4m3fn)}, path)


def write(kind: str, tmp_path: Path, stock_model: Callable) -> Path:
    path = tmp_path / "weights.pt"
    function, _ = WRONG[kind]
    extra = (stock_model,) if "stock_model" in function.__annotations__ else ()
    function(path, stock_model("vit"), tmp_path / "trace", *extra)
    return path


def refused(load: Callable[[], Any], kind: str, tmp_path: Path) -> None:
    with pytest.raises((ValueError, FileNotFoundError)) as raised:
        load()
    message = str(raised.value)
    assert "weights.pt" in message
    assert "\n" not in message
    assert re.search(WRONG[kind][1], message), message
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("kind", WRONG)
def test_as_encoder_weights(kind: str, stock_model, stock_config, tmp_path) -> None:
    path = write(kind, tmp_path, stock_model)
    refused(lambda: DenseImageEncoder(stock_config("vit"), str(path)), kind, tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in FILE_KINDS if kind != "hole_of_zeros_safetensors"])
def test_as_weights_of_a_detector_or_segmentor(kind: str, stock_model, tmp_path) -> None:
    """By mmengine's loader, which has no opinion of what weights mean."""
    path = write(kind, tmp_path, stock_model)
    refused(lambda: load_checkpoint(nn.Linear(3, 2), str(path)), kind, tmp_path)


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_as_weights_with_a_text_tower(kind: str, stock_model, stock_config, tmp_path) -> None:
    path = write(kind, tmp_path, stock_model)
    refused(lambda: build_clip(stock_config("vit"), path), kind, tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in FILE_KINDS if not kind.startswith(("hole", "weights_of"))])
def test_as_argument_of_tools_test(kind: str, stock_model, tmp_path) -> None:
    """Holes and nan are found when the model is built, see above: here is only looked at what the file is."""
    path = write(kind, tmp_path, stock_model)
    cfg = Config(dict(load_from=None, model=dict(type="RegionPretrainer", encoder=dict(checkpoint="start.pt"))))
    if kind == "folder":
        use_checkpoint(cfg, str(path))  # taken for one in hub layout
        with pytest.raises(FileNotFoundError, match="not in hub layout"):
            DenseImageEncoder(None, cfg.model.encoder.checkpoint)
    else:
        refused(lambda: use_checkpoint(cfg, str(path)), kind, tmp_path)


class Toy(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 1)

    def forward(self, inputs: list[Tensor], mode: str = "tensor") -> dict[str, Tensor]:
        return {"loss": self.linear(torch.stack(inputs)).square().mean()}


def runner(work_dir: Path, **options: Any) -> Runner:
    return Runner(
        model=Toy(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=[{"inputs": torch.ones(3)}] * 2, batch_size=1, sampler=dict(type="DefaultSampler"), num_workers=0
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type="AdamW", lr=0.1)),
        param_scheduler=dict(type="LinearLR", start_factor=0.1, by_epoch=False),
        experiment_name=str(work_dir).replace("/", "_"),
        log_level="ERROR",
        **{"custom_hooks": [dict(type="densevlm_mm.StrictCheckpointHook")], **options},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    runner(folder).train()
    return folder / "epoch_1.pth"


@pytest.mark.parametrize("missing", ["optimizer", "param_schedulers", "message_hub", "meta"])
def test_a_run_that_lost_its_state_does_not_go_on(missing: str, trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained)
    del content[missing]
    torch.save(content, tmp_path / "epoch_1.pth")
    resumed = runner(tmp_path / "run", resume=True, load_from=str(tmp_path / "epoch_1.pth"))
    with pytest.raises(ValueError, match=rf"cannot be resumed from .*epoch_1\.pth, which lacks .*{missing}") as raised:
        resumed.train()
    assert "\n" not in str(raised.value)
    assert resumed.iter == 0


@pytest.mark.parametrize("resume", [True, False])
def test_a_diverged_run_does_not_go_on(resume: bool, trained: Path, tmp_path: Path) -> None:
    content = torch.load(trained)
    content["optimizer"]["state"][0]["exp_avg"][0] = float("nan")
    torch.save(content, tmp_path / "epoch_1.pth")
    with pytest.raises(ValueError, match=r"epoch_1\.pth': tensor 'optimizer\.state\.0\.exp_avg' holds nan"):
        runner(tmp_path / "run", resume=resume, load_from=str(tmp_path / "epoch_1.pth")).train()


def test_an_image_tower_where_text_is_needed_names_the_fix(stock_model, stock_config, tmp_path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({k: v for k, v in stock_model("vit").state_dict().items() if k.startswith("visual.")}, path)
    DenseImageEncoder(stock_config("vit"), str(path))
    with pytest.raises(
        ValueError, match=r"weights\.pt.*only an image tower.*take the text tower from the CLIP release"
    ):
        build_clip(stock_config("vit"), path)
