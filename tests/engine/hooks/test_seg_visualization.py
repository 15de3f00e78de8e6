from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mmseg.structures import SegDataSample
from PIL import Image

import densevlm_mm  # noqa: F401
from densevlm_mm.engine.hooks.seg_visualization import LegendSegVisualizationHook


class Runner:
    """Without a training loop: asking for the iteration is an error, as it loads data that a test may not have."""

    def __init__(self) -> None:
        self.drawn: list[tuple[str, int, list]] = []
        self.visualizer = SimpleNamespace(add_datasample=self.add)

    def add(self, name: str, image: np.ndarray, data_sample: Any, step: int, **kwargs: Any) -> None:
        self.drawn.append((name, step, image[0, 0].tolist()))

    @property
    def iter(self) -> int:
        raise AssertionError("a test must not ask for the iteration")


@pytest.fixture
def sample(tmp_path: Path) -> SegDataSample:
    Image.new("RGB", (2, 2), (200, 10, 30)).save(tmp_path / "a.png")
    return SegDataSample(metainfo=dict(img_path=str(tmp_path / "a.png")))


def test_every_image_of_a_test_is_drawn_in_rgb_without_the_training_loop(sample: SegDataSample) -> None:
    runner = Runner()
    for batch in range(2):
        LegendSegVisualizationHook(draw=True).after_test_iter(runner, batch, None, [sample, sample])
    assert runner.drawn == [("test_a.png", 0, [200, 10, 30])] * 4


def test_nothing_is_drawn_unless_switched_on(sample: SegDataSample) -> None:
    runner = Runner()
    LegendSegVisualizationHook().after_test_iter(runner, 0, None, [sample])
    LegendSegVisualizationHook().after_val_iter(runner, 0, None, [sample])
    LegendSegVisualizationHook(draw=True, interval=3).after_test_iter(runner, 0, None, [sample])
    assert runner.drawn == []
    LegendSegVisualizationHook(draw=True, interval=3).after_test_iter(runner, 2, None, [sample])
    assert len(runner.drawn) == 1
