from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from densevlm_mm.inference import OpenVocabularyInferencer
from densevlm_mm.tiny_scenes import generate_tiny_scenes
from densevlm_mm.tiny_scenes.clip import ASSETS_DIR

TEACHER = str(ASSETS_DIR / "tiny_scenes_teacher.safetensors")


@pytest.fixture(scope="session", autouse=True)
def _kept_embeddings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DENSEVLM_MM_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four scenes, ``000001.jpg`` to ``000004.jpg``, 64 x 64 pixels."""
    root = tmp_path_factory.mktemp("scenes")
    generate_tiny_scenes(root, num_train=1, num_val=4, seed=3)
    return root / "val"


@pytest.fixture(scope="module")
def see() -> OpenVocabularyInferencer:
    return OpenVocabularyInferencer(TEACHER, vocabulary=["boat", "sky", "sea", "sand"], device="cpu")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
