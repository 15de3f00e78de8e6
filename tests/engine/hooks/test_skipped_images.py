import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from densevlm_mm.datasets import SeededDataset, UnlabeledImageDataset
from densevlm_mm.engine.hooks import SkippedImagesHook


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "img").mkdir()
    for number in range(6):
        cv2.imwrite(str(tmp_path / "img" / f"{number}.png"), np.zeros((4, 6, 3), np.uint8))
    for number in (1, 4):
        (tmp_path / "img" / f"{number}.png").write_text("no image")
    return tmp_path


def run(root: Path, work_dir: Path, numbers: list[int], on_error: str = "skip") -> list[str]:
    pipeline = [dict(type="densevlm_mm.LoadImage")]
    images = UnlabeledImageDataset("img", data_root=str(root), pipeline=pipeline, on_error=on_error)
    for number in numbers:
        images[number]
    messages: list[str] = []
    runner = SimpleNamespace(
        train_dataloader=SimpleNamespace(dataset=SeededDataset(images)),
        work_dir=str(work_dir),
        logger=SimpleNamespace(warning=messages.append),
    )
    SkippedImagesHook().after_train(runner)
    return messages


def test_skipped_images_are_listed_at_the_end(root: Path, tmp_path: Path) -> None:
    work_dir = tmp_path / "work"
    (message,) = run(root, work_dir, [0, 4, 1, 4])
    paths = [str(root / "img" / name) for name in ("1.png", "4.png")]
    assert (work_dir / "skipped_images.txt").read_text().splitlines() == paths
    assert message.startswith("2 images were skipped as unreadable")
    assert paths[1] in message


def test_nothing_is_said_where_nothing_was_skipped(root: Path, tmp_path: Path) -> None:
    for numbers, on_error in (([0, 2], "skip"), ([0], "raise")):
        assert run(root, tmp_path / "work", numbers, on_error) == []
    assert not (tmp_path / "work").exists()


def test_the_list_is_of_all_processes(root: Path, tmp_path: Path, in_two_processes: Callable) -> None:
    logging.disable(logging.CRITICAL)
    try:
        results = in_two_processes(lambda rank: run(root, tmp_path / "work", [1 + 3 * rank]))
    finally:
        logging.disable(logging.NOTSET)
    assert [len(messages) for messages in results] == [1, 0]
    assert len((tmp_path / "work" / "skipped_images.txt").read_text().splitlines()) == 2
