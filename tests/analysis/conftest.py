"""A small TinyScenes world, models on it, and the check that nothing of a picture is cut off."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from densevlm_mm.analysis import AnalysisModel, ModelSource, RegionScores
from densevlm_mm.tiny_scenes import generate_tiny_scenes
from densevlm_mm.vocabulary import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/tiny/densevlm.py")
STUDENT = str(ROOT / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("world")
    generate_tiny_scenes(root, num_train=2, num_val=6, seed=0)
    return root


@pytest.fixture(autouse=True)
def _repository_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny configs name weights relative to the repository."""
    monkeypatch.chdir(ROOT)


@pytest.fixture
def make_model(world: Path) -> Callable[..., AnalysisModel]:
    def make(checkpoint: str = STUDENT, config: str = CONFIG, name: str = "model") -> AnalysisModel:
        options = {
            "test_dataloader.dataset.data_root": str(world),
            "test_dataloader.num_workers": 0,
            "test_dataloader.batch_size": 4,
        }
        return AnalysisModel(ModelSource(name, checkpoint, config), options, "cpu")

    return make


@pytest.fixture
def make_scores() -> Callable[..., RegionScores]:
    """Random scores of 200 regions: 3 stuff and 4 things in mixed order, the last thing without a region."""

    def make(seed: int = 0) -> RegionScores:
        generator = torch.Generator().manual_seed(seed)
        flags = np.array([True, False, True, False, False, True, True])
        names = tuple("abcdefg")
        vocabulary = Vocabulary("letters", names, tuple((name,) for name in names), flags)
        masks = 0.1 * torch.randn(200, 7, generator=generator)
        boxes = 0.1 * torch.randn(200, 7, generator=generator)
        empty = torch.rand(200, generator=generator) < 0.05
        masks[empty] = 0
        return RegionScores(vocabulary, torch.randint(6, (200,), generator=generator), boxes, masks, empty)

    return make


@pytest.fixture
def assert_whole_picture() -> Callable[[Path], None]:
    """A PNG that is not blank, with a white border all around: nothing reaches out of it."""

    def check(path: Path) -> None:
        image = cv2.imread(str(path))
        assert image is not None, path
        assert image.std() > 1
        border = np.concatenate([image[:6].reshape(-1, 3), image[-6:].reshape(-1, 3)])
        border = np.concatenate([border, image[:, :6].reshape(-1, 3), image[:, -6:].reshape(-1, 3)])
        assert (border == 255).all()

    return check
