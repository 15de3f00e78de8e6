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
    """Records what is drawn; a test must not ask for the iteration, which loads the training data."""

    def __init__(self, iteration: int | None = None) -> None:
        self.drawn: list[tuple[str, int, list]] = []
        self.visualizer = SimpleNamespace(add_datasample=self.add, dataset_meta={})
        self.val_dataloader = self.test_dataloader = SimpleNamespace(dataset=None)
        self.iteration = iteration

    def add(self, name: str, image: np.ndarray, data_sample: Any, out_file: str = "", step: int = 0, **_: Any) -> None:
        self.drawn.append((name, step, image[0, 0].tolist()))
        if out_file:
            Image.fromarray(np.ascontiguousarray(image)).save(out_file)

    @property
    def iter(self) -> int:
        assert self.iteration is not None
        return self.iteration


@pytest.fixture
def sample(tmp_path: Path) -> SegDataSample:
    Image.new("RGB", (2, 2), (200, 10, 30)).save(tmp_path / "a.png")
    return SegDataSample(metainfo=dict(img_path=str(tmp_path / "a.png"), output_name="cam1/a"))


def hook_to(tmp_path: Path, **options: Any) -> LegendSegVisualizationHook:
    return LegendSegVisualizationHook(draw=True, test_out_dir=str(tmp_path / "shown"), **options)


def test_every_image_of_a_test_is_drawn_without_the_training_loop(sample: SegDataSample, tmp_path: Path) -> None:
    runner, hook = Runner(), hook_to(tmp_path)
    for batch in range(2):
        hook.after_test_iter(runner, batch, None, [sample, sample])
    assert runner.drawn == [("a.png", 0, [200, 10, 30])] * 4
    assert (tmp_path / "shown/cam1/a.png").is_file()


def test_pictures_of_a_validation_are_named_apart_and_carry_the_iteration(
    sample: SegDataSample, tmp_path: Path
) -> None:
    runner = Runner(iteration=7)
    other = sample.clone()
    other.set_metainfo(dict(output_name="cam2/a"))
    hook_to(tmp_path).after_val_iter(runner, 0, None, [sample, other])
    names = [name for name, _, _ in runner.drawn]
    assert [name.partition("~")[0] for name in names] == ["val_cam1_a", "val_cam2_a"]
    assert not any("/" in name for name in names)
    assert {step for _, step, _ in runner.drawn} == {7}


def test_nothing_is_drawn_unless_switched_on_and_in_intervals(sample: SegDataSample, tmp_path: Path) -> None:
    runner, hook = Runner(), hook_to(tmp_path, interval=3)
    LegendSegVisualizationHook().after_test_iter(runner, 0, None, [sample])
    LegendSegVisualizationHook().after_val_iter(runner, 0, None, [sample])
    hook.after_test_iter(runner, 0, None, [sample])
    assert runner.drawn == []
    hook.after_test_iter(runner, 2, None, [sample])
    assert len(runner.drawn) == 1
