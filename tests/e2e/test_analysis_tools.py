"""The tools of tools/analysis_tools on a small TinyScenes world, by their command lines."""

import csv
import json
import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/tiny/densevlm.py"
STUDENT = "student=densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
TEACHER = "teacher=densevlm_mm/tiny_scenes/assets/tiny_scenes_teacher.safetensors@configs/tiny/teacher.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a tool's file as a program, in this process: importing everything takes longer than what it does."""

    def run_tool(tool: str, *arguments: object) -> None:
        path = f"tools/analysis_tools/{tool}.py"
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        runpy.run_path(path, run_name="__main__")

    return run_tool


@pytest.fixture
def on_small_data(tiny_world: Path) -> list[str]:
    return [
        "--cfg-options",
        f"test_dataloader.dataset.data_root={tiny_world}",
        "test_dataloader.num_workers=0",
        "test_dataloader.batch_size=4",
    ]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Region scores, which the tools share."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def trained_checkpoint(tmp_path: Path) -> Path:
    """A checkpoint as tools/train.py writes it: trained weights that are the initial ones and noise."""
    weights = load_file(STUDENT.partition("=")[2])
    initial = {f"encoder.{name}": value.float() for name, value in weights.items() if name.startswith("visual.")}
    raw = {
        name: value + 0.02 * torch.randn_like(value) if "trunk.blocks." in name else value
        for name, value in initial.items()
    }
    path = tmp_path / "iter_1.pth"
    torch.save(dict(meta={}, state_dict=raw, weight_ensemble=dict(alpha=0.7, initial_state_dict=initial)), path)
    return path


def is_picture(path: Path) -> bool:
    image = cv2.imread(str(path))
    return image is not None and image.std() > 1


def test_confusion_matrix(run, on_small_data, cache, tmp_path) -> None:
    run("confusion_matrix", CONFIG, STUDENT, TEACHER, "--out", tmp_path, "--cache", cache, *on_small_data)
    for name in ("student", "teacher"):
        content = json.loads((tmp_path / f"confusion_matrix_{name}.json").read_text())
        assert len(content["counts"]) == len(content["classes"]) == 32
        assert sum(map(sum, content["counts"])) > 20
        assert is_picture(tmp_path / f"confusion_matrix_{name}.png")


def test_per_class_accuracy_of_checkpoints_and_of_files(run, on_small_data, cache, tmp_path, capsys) -> None:
    arguments = ["--config", CONFIG, "--out", tmp_path / "a", "--cache", cache, *on_small_data]
    run("per_class_accuracy", STUDENT, TEACHER, *arguments)
    tables = [f"{name}={tmp_path}/a/{name}.json" for name in ("student", "teacher")]
    run("per_class_accuracy", *tables, "--out", tmp_path / "b")
    first, second = ((tmp_path / folder / "per_class_accuracy.csv").read_text() for folder in "ab")
    assert first == second
    assert first.startswith("class,is_thing,num_regions,student,teacher\n")
    assert is_picture(tmp_path / "b" / "per_class_accuracy.png")
    run("per_class_accuracy", *tables, "--out", tmp_path / "c", "--classes", "sky", "sea")
    assert len((tmp_path / "c" / "per_class_accuracy.csv").read_text().splitlines()) == 3


def test_foreground_bias(run, on_small_data, cache, tmp_path, capsys) -> None:
    run("foreground_bias", CONFIG, STUDENT, TEACHER, "--out", tmp_path, "--cache", cache, *on_small_data)
    assert re.search(r"student: stuff called things .* things called stuff .* offset control", capsys.readouterr().out)
    with (tmp_path / "foreground_bias.csv").open() as file:
        rows = list(csv.DictReader(file))
    metrics = json.loads((tmp_path / "foreground_bias.json").read_text())["student"]["metrics"]
    wrong = sum(int(row["count"]) for row in rows if row["model"] == "student")
    assert 100 * wrong / metrics["num_stuff"] == pytest.approx(metrics["foreground_bias"])
    assert is_picture(tmp_path / "foreground_bias.png")


def test_similarity_map(run, on_small_data, tiny_world, tmp_path) -> None:
    images = [tiny_world / "val" / "000001.jpg", tiny_world / "train" / "000001.jpg"]
    options = ["--config", CONFIG, "--checkpoints", STUDENT, TEACHER, "--out", tmp_path, "--centred", *on_small_data]
    run("similarity_map", *images, "--texts", "sky", "a boat", *options)
    for name in ("val/000001", "train/000001"):
        maps = json.loads((tmp_path / f"{name}_similarity.json").read_text())["maps"]
        assert set(maps) == {"student", "teacher"}
        assert len(maps["student"]["a boat"]) == 8
        assert is_picture(tmp_path / f"{name}_similarity.png")


def test_grid_classification(run, on_small_data, tiny_world, tmp_path) -> None:
    image = tiny_world / "val" / "000001.jpg"
    options = ["--config", CONFIG, "--checkpoints", STUDENT, "--out", tmp_path, *on_small_data]
    run("grid_classification", image, "--grid", "2", "3", *options)
    content = json.loads((tmp_path / "000001_grid.json").read_text())
    assert (content["threshold"], content["temperature"]) == (0.3, 0.01)  # the config's
    assert [(cell["row"], cell["column"]) for cell in content["cells"]["student"]] == [
        (row, column) for row in range(2) for column in range(3)
    ]
    assert is_picture(tmp_path / "000001_grid.png")


def test_retention(run, on_small_data, tmp_path, capsys) -> None:
    run("retention", CONFIG, STUDENT, TEACHER, "--out", tmp_path, *on_small_data)
    assert re.search(r"text_to_image_r1 +student [\d.]+ \(\+0\.0\), teacher", capsys.readouterr().out)
    assert set(json.loads((tmp_path / "retention.json").read_text())) == {"student", "teacher"}
    assert (tmp_path / "retention.csv").read_text().startswith("model,class_top1,class_top5,")
    assert is_picture(tmp_path / "retention.png")


def test_tradeoff(run, on_small_data, tmp_path, capsys, trained_checkpoint) -> None:
    out, file = tmp_path / "out", trained_checkpoint
    run(
        "tradeoff",
        CONFIG,
        f"one={file}",
        f"two={file}",
        "--alphas",
        "0:1:0.5",
        "--by-depth",
        "--out",
        out,
        *on_small_data,
    )
    printed = capsys.readouterr().out
    assert re.search(
        r"^two 17/17, alpha 1 in the first block to 0.9 in the last: dense_mean [\d.]+, .*text_to_image_r1 ",
        printed,
        re.MULTILINE,
    )
    assert "one, text_to_image_r1" in printed
    with (out / "tradeoff.csv").open() as csv_file:
        rows = [row for row in csv.DictReader(csv_file) if row["model"] == "one"]
    kinds = ["curve"] * 3 + ["initial", "as evaluated", "two encoders"]
    assert [row["kind"] for row in rows] == kinds
    assert [row["alpha"] for row in rows] == ["0.0", "0.5", "1.0", "0.0", "0.7", "0.7"]
    models = json.loads((out / "tradeoff.json").read_text())["models"]
    assert models["one"]["curve"] == models["two"]["curve"]
    assert len(models["one"]["by_depth"]) == 16
    assert set(models["one"]["numbers"]) == {"text_to_image_r1", "image_to_text_r1"}
    assert is_picture(out / "tradeoff.png")
    assert is_picture(out / "tradeoff_by_depth.png")


@pytest.mark.parametrize("text", ["0:1", "0:1:0", "1:0:0.1", "0,x", "0:2:0.5"])
def test_alphas_that_are_none_are_refused(run, tmp_path, capsys, text) -> None:
    with pytest.raises(SystemExit):
        run("tradeoff", CONFIG, "a.pth", "--alphas", text, "--out", tmp_path)
    assert repr(text) in capsys.readouterr().err


def test_a_tool_starts_as_a_program_of_its_own(run_tool) -> None:
    result = run_tool("analysis_tools/confusion_matrix.py", "--help")
    assert "Examples:" in result.stdout


@pytest.mark.parametrize(
    ("tool", "arguments", "problem"),
    [
        ("confusion_matrix", [CONFIG, "nowhere.pt"], "checkpoint 'nowhere.pt' does not exist"),
        ("confusion_matrix", [CONFIG, TEACHER.split("@")[0]], "exported from 'TinyScenes-T'"),
        ("per_class_accuracy", ["nowhere.json"], "no per-class file nowhere.json"),
        ("per_class_accuracy", [STUDENT], "with which config"),
        ("foreground_bias", [CONFIG, STUDENT, "--classes", "sky", "ski"], "no class 'ski'"),
        ("retention", [CONFIG, STUDENT, "--captions", "nowhere.json"], "captions file nowhere.json does not exist"),
        ("tradeoff", [CONFIG, STUDENT], "holds no initial weights"),
        ("similarity_map", ["IMAGE", "--config", CONFIG, "--checkpoints", STUDENT, "--texts", ""], "has no token"),
        ("similarity_map", ["README.md", "--config", CONFIG, "--checkpoints", STUDENT, "--texts", "sky"], "README.md"),
        ("grid_classification", ["IMAGE", "--checkpoints", f"{STUDENT}@nowhere.py"], "no config file nowhere.py"),
        (
            "grid_classification",
            ["IMAGE", "--config", CONFIG, "--checkpoints", STUDENT, "--vocabulary", "coco"],
            "unknown vocabulary 'coco'",
        ),
    ],
)
def test_user_errors_are_one_line(run, on_small_data, tiny_world, cache, tmp_path, tool, arguments, problem) -> None:
    image = str(tiny_world / "val" / "000001.jpg")
    arguments = [image if argument == "IMAGE" else argument for argument in arguments]
    with pytest.raises(SystemExit) as error:
        run(tool, *arguments, "--out", tmp_path, *on_small_data)
    message = str(error.value)
    assert message.startswith(f"tools/analysis_tools/{tool}.py: ")
    assert problem in message
    assert "\n" not in message
