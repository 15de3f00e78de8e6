"""F-ViT on a small TinyScenes world through the tools."""

import re

CONFIG = "configs/tiny/fvit_original.py"


def test_trains_resumes_and_evaluates_base_and_novel_classes(run_tool, tiny_world, tmp_path) -> None:
    instances = tiny_world / "annotations/instances_val.json"
    options = [
        f"train_dataloader.dataset.dataset.data_root={tiny_world}",
        "train_dataloader.dataset.dataset.indices=12",
        "train_dataloader.batch_size=4",
        "default_hooks.checkpoint.interval=1",
        "default_hooks.logger.interval=1",
        *(f"{loader}.dataset.data_root={tiny_world}" for loader in ("val_dataloader", "test_dataloader")),
        *(f"{evaluator}.ann_file={instances}" for evaluator in ("val_evaluator", "test_evaluator")),
    ]
    run_tool("train.py", CONFIG, "--work-dir", tmp_path, "--cfg-options", *options)
    arguments = ["--resume", tmp_path / "iter_2.pth", "--work-dir", tmp_path / "resumed"]
    resumed = run_tool("train.py", CONFIG, *arguments, "--cfg-options", *options)
    log = resumed.stdout + resumed.stderr
    assert "Epoch(train) [1][3/3]" in log
    assert "Epoch(train) [1][1/3]" not in log
    tested = run_tool(
        "test.py",
        CONFIG,
        tmp_path / "iter_3.pth",
        "--work-dir",
        tmp_path,
        "--show-dir",
        "shown",
        "--cfg-options",
        *options,
    )
    log = tested.stdout + tested.stderr
    for metric in ("novel_ap50", "base_ap50", "all_ap50"):
        assert re.search(rf"{metric}: -?[\d.]+", log), metric
