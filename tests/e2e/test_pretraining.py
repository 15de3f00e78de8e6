"""DenseVLM on a small TinyScenes world through the tools that users run."""

import json
import re
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors import safe_open

from densevlm_mm.models.encoders import DenseImageEncoder

CONFIG = "configs/tiny/densevlm.py"
STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"


def load(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)


def losses(work_dir: Path) -> list[float]:
    (scalars,) = work_dir.glob("*/vis_data/scalars.json")
    records = [json.loads(line) for line in scalars.read_text().splitlines()]
    return [record["loss"] for record in records if "loss" in record]


def last_metrics(output: str) -> dict[str, float]:
    pairs = re.findall(r"region/(\w+): (-?[\d.]+|nan)", output)
    return {name: float(value) for name, value in pairs}


@pytest.fixture(scope="module")
def trained(run_tool, small_data_options, tmp_path_factory) -> tuple[Path, str]:
    """One epoch of 8 iterations, never interrupted."""
    work_dir = tmp_path_factory.mktemp("trained")
    result = run_tool("train.py", CONFIG, "--work-dir", work_dir, "--cfg-options", *small_data_options)
    return work_dir, result.stdout + result.stderr


def test_training_logs_what_the_denoising_does(trained) -> None:
    work_dir, log = trained
    for name in ("loss", "kept", "kept_stuff", "confidence", "lr", "images_per_second", "eta", "data_time"):
        assert f" {name}: " in log, name
    assert list(work_dir.glob("*/vis_data/events.out.tfevents.*"))
    assert (work_dir / "iter_8.pth").is_file()


def test_only_blocks_change_and_the_teacher_is_not_in_the_checkpoint(trained) -> None:
    checkpoint = load(trained[0] / "iter_8.pth")
    start = DenseImageEncoder(checkpoint=STUDENT).state_dict()
    assert {name.removeprefix("encoder.") for name in checkpoint["state_dict"]} == set(start)
    changed = {
        name for name, value in start.items() if not torch.equal(value, checkpoint["state_dict"][f"encoder.{name}"])
    }
    assert changed
    assert all(name.startswith("visual.trunk.blocks.") for name in changed)
    num_query_key = 2 * start["visual.trunk.blocks.1.attn.qkv.weight"].shape[1]
    for name in ("weight", "bias"):
        key = f"visual.trunk.blocks.1.attn.qkv.{name}"
        assert torch.equal(start[key][:num_query_key], checkpoint["state_dict"][f"encoder.{key}"][:num_query_key])


def test_resume_in_mid_epoch_is_exact_to_the_bit(trained, run_tool, small_data_options, tmp_path) -> None:
    work_dir = trained[0]
    arguments = ["--resume", work_dir / "iter_3.pth", "--work-dir", tmp_path]
    run_tool("train.py", CONFIG, *arguments, "--cfg-options", *small_data_options)
    whole, resumed = load(work_dir / "iter_8.pth"), load(tmp_path / "iter_8.pth")
    assert losses(tmp_path) == losses(work_dir)[3:]
    for part in ("state_dict", "optimizer", "weight_ensemble"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)


def test_two_processes_train_like_one_with_the_doubled_batch(run_tool, small_data_options, tmp_path) -> None:
    half = [option for option in small_data_options if not option.startswith("train_dataloader.batch_size")]
    outputs = {}
    for processes in (1, 2):
        work_dir = tmp_path / str(processes)
        # The key biases of attention have a gradient of 0 up to rounding, which AdamW would blow up to steps of full
        # size with its default eps.
        options = [*half, f"train_dataloader.batch_size={8 // processes}", "optim_wrapper.optimizer.eps=1e-5"]
        result = run_tool("train.py", CONFIG, "--work-dir", work_dir, "--cfg-options", *options, processes=processes)
        outputs[processes] = result.stdout + result.stderr
    one, two = (load(tmp_path / str(n) / "iter_4.pth")["state_dict"] for n in (1, 2))
    start = DenseImageEncoder(checkpoint=STUDENT).state_dict()
    moved = max((one[f"encoder.{k}"].float() - v.float()).abs().max().item() for k, v in start.items())
    assert moved > 1e-4  # the tolerance below says something
    torch.testing.assert_close(two, one, rtol=0, atol=1e-5)
    # ... and evaluate to the same figures, with an odd number of images.
    assert last_metrics(outputs[2]) == pytest.approx(last_metrics(outputs[1]), abs=0.5, nan_ok=True)


def test_evaluation_is_the_same_for_two_processes(trained, run_tool, small_data_options, tmp_path) -> None:
    checkpoint = trained[0] / "iter_8.pth"
    figures = []
    for processes in (1, 2):
        out = tmp_path / f"{processes}.json"
        arguments = [CONFIG, checkpoint, "--out", out, "--work-dir", tmp_path / str(processes)]
        arguments += ["--synonyms", "tiny_scenes"]
        options = [o for o in small_data_options if not o.startswith(("param_scheduler", "default_hooks.logger"))]
        run_tool("test.py", *arguments, "--cfg-options", *options, processes=processes)
        figures.append(json.loads(out.read_text()))
    # Batches of other images round the cosines differently: the offset is a difference of cosines, the rest are counts.
    assert figures[0]["metrics"] == pytest.approx(figures[1]["metrics"], abs=1e-6, rel=0)
    assert figures[0]["metrics"]["num_stuff"] > 0
    drops = [figure["synonyms"]["figures"]["region/masks_t_top5"] for figure in figures]
    assert drops[0] == pytest.approx(drops[1])
    assert drops[0]["names"] == figures[0]["metrics"]["masks_t_top5"]


def test_export_loads_into_open_clip_and_our_encoder_bit_equal(trained, run_tool, tmp_path) -> None:
    checkpoint = trained[0] / "iter_8.pth"
    exported = tmp_path / "encoder.safetensors"
    run_tool("export_encoder.py", checkpoint, exported)
    with safe_open(exported, "pt") as file:
        assert file.metadata()["model_name"] == "TinyScenes-S"

    images = torch.randn(2, 3, 64, 64)
    ours = DenseImageEncoder(checkpoint=str(exported)).eval()
    runner_weights = DenseImageEncoder("TinyScenes-S", checkpoint=str(checkpoint)).eval()
    assert torch.equal(ours.dense(images), runner_weights.dense(images))
    plain = open_clip.create_model("TinyScenes-S", pretrained=str(exported)).eval()
    with torch.no_grad():
        assert torch.equal(plain.encode_image(images), ours(images))

    content = load(checkpoint)
    name = "visual.trunk.blocks.0.mlp.fc1.weight"
    raw = content["state_dict"][f"encoder.{name}"]
    initial = content["weight_ensemble"]["initial_state_dict"][f"encoder.{name}"]
    torch.testing.assert_close(ours.state_dict()[name], 0.9 * raw + 0.1 * initial, rtol=0, atol=1e-6)


def test_pictures_and_the_per_class_table(run_tool, small_data_options, name_list, tmp_path) -> None:
    arguments = [CONFIG, STUDENT, "--out", tmp_path / "table.csv", "--show-dir", tmp_path / "pictures"]
    options = [o for o in small_data_options if o.startswith("test_dataloader")]
    # A test reads the names that it classifies into, given as a list, and not those of the training.
    options += [f"model.test_class_embeddings.vocabulary={name_list('tiny_scenes')}"]
    options += ["model.class_embeddings.vocabulary=no_such_file.json"]
    result = run_tool("test.py", *arguments, "--work-dir", tmp_path, "--cfg-options", *options)
    assert "foreground bias" in result.stdout + result.stderr
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 7
    header, *rows = (tmp_path / "table.csv").read_text().splitlines()
    assert header.startswith("name,is_thing,num_regions")
    assert len(rows) == 32


def test_amp_trains(run_tool, small_data_options, tmp_path) -> None:
    result = run_tool("train.py", CONFIG, "--amp", "--work-dir", tmp_path, "--cfg-options", *small_data_options)
    assert "bfloat16" in result.stdout + result.stderr
    assert all(0 <= loss < 10 for loss in losses(tmp_path))
