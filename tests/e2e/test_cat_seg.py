"""CAT-Seg on a small TinyScenes world through the tools."""

import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from densevlm_mm.models.clip import read_state_dict

CONFIG = "configs/tiny/cat_seg_original.py"
STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"


@pytest.fixture(scope="module")
def options(tiny_world: Path) -> list[str]:
    """Eight images, four iterations of four: two epochs."""
    return [
        f"train_dataloader.dataset.dataset.data_root={tiny_world}",
        *(f"{loader}.dataset.data_root={tiny_world}" for loader in ("val_dataloader", "test_dataloader")),
        "train_dataloader.dataset.dataset.indices=8",
        "train_dataloader.batch_size=4",
        "train_dataloader.num_workers=0",
        "train_dataloader.persistent_workers=False",
        "val_dataloader.num_workers=0",
        "test_dataloader.num_workers=0",
        "train_cfg.max_iters=4",
        "train_cfg.val_interval=4",
        "param_scheduler.0.end=2",
        "default_hooks.checkpoint.interval=1",
        "default_hooks.checkpoint.max_keep_ckpts=9",
        "default_hooks.logger.interval=1",
    ]


@pytest.fixture(scope="module")
def trained(run_tool, options, tmp_path_factory) -> Path:
    work_dir = tmp_path_factory.mktemp("cat_seg")
    run_tool("train.py", CONFIG, "--work-dir", work_dir, "--cfg-options", *options)
    return work_dir


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]


def test_resumes_exactly_in_the_middle_of_an_epoch(run_tool, options, trained, tmp_path) -> None:
    arguments = ["--resume", trained / "iter_3.pth", "--work-dir", tmp_path]
    run_tool("train.py", CONFIG, *arguments, "--cfg-options", *options)
    resumed, whole, before = (weights(p / f"iter_{i}.pth") for p, i in ((tmp_path, 4), (trained, 4), (trained, 3)))
    assert resumed.keys() == whole.keys()
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert any(not torch.equal(before[name], whole[name]) for name in whole)


def test_frozen_weights_are_those_of_the_file(trained) -> None:
    after, start = weights(trained / "iter_4.pth"), read_state_dict(STUDENT)
    moved = {
        name
        for name, value in start.items()
        if not torch.equal(
            after[f"image_encoder.{name}" if name.startswith("visual.") else f"text_encoder.clip.{name}"], value.float()
        )
    }
    image, text = "visual.trunk.blocks.{}.attn.qkv.weight", "text.transformer.resblocks.{}.attn.in_proj_weight"
    assert moved == {key.format(block) for key in (image, text) for block in (0, 1)}
    keys = slice(96, 192)  # between query and value
    for block in (0, 1):
        name = text.format(block)
        assert torch.equal(after[f"text_encoder.clip.{name}"][keys], start[name].float()[keys])


def test_predicts_a_users_classes_on_a_users_images(run_tool, tiny_world, trained, tmp_path) -> None:
    Image.new("RGB", (600, 2)).save(tmp_path / "thin.png")
    arguments = [tiny_world / "val", tmp_path / "thin.png", "--names", "sea", "a sandy beach"]
    run_tool("predict.py", CONFIG, trained / "iter_4.pth", *arguments, "--out-dir", tmp_path / "out")
    records = json.loads((tmp_path / "out/predictions.json").read_text())
    assert len(records) == len(list((tmp_path / "out/pictures").rglob("*.png"))) == 8
    for record in records:
        assert {segment["name"] for segment in record["segments"]} <= {"sea", "a sandy beach"}
        assert sum(segment["share"] for segment in record["segments"]) == pytest.approx(1, abs=1e-5)
        assert Path(record["label_map"]).is_file()


def test_evaluates_seen_and_unseen_classes_and_draws(run_tool, options, trained, name_list, tmp_path) -> None:
    arguments = [trained / "iter_4.pth", "--work-dir", tmp_path, "--show-dir", tmp_path / "shown"]
    names = f"model.test_vocabulary={name_list('tiny_scenes')}"
    tested = run_tool("test.py", CONFIG, *arguments, "--cfg-options", *options, names)
    log = tested.stdout + tested.stderr
    for metric in ("mIoU", "mIoU_seen", "mIoU_unseen"):
        assert re.search(rf"{metric}: [\d.]+", log), metric
    assert list((tmp_path / "shown").rglob("*.png"))


def test_two_processes_step_like_one_with_the_doubled_batch(run_tool, options, trained, tmp_path) -> None:
    plain = [
        *options,
        f"load_from={trained}/iter_4.pth",
        # Plain gradient descent, whose step shows the gradient; a mean that does not depend on ignored pixels.
        "optim_wrapper.optimizer.type=SGD",
        "optim_wrapper.optimizer.lr=0.1",
        "param_scheduler.0.start_factor=1.0",
        "model.decode_head.loss_decode.ignored=negative",
        "train_cfg.max_iters=1",
        "train_cfg.val_interval=9",
    ]
    start = weights(trained / "iter_4.pth")
    steps = []
    for processes in (1, 2):
        own = [f"train_dataloader.batch_size={4 // processes}"]
        work_dir = tmp_path / str(processes)
        run_tool("train.py", CONFIG, "--work-dir", work_dir, "--cfg-options", *plain, *own, processes=processes)
        after = weights(work_dir / "iter_1.pth")
        steps.append(torch.cat([(after[name] - start[name]).flatten() for name in start]))
    one, two = steps
    assert one.norm() > 0
    assert torch.cosine_similarity(one, two, dim=0) > 0.99
    torch.testing.assert_close(two.norm(), one.norm(), rtol=0.03, atol=0)
