from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from densevlm_mm.analysis.grid_classification import GridClassification, classify_grid, plot_grid_classification
from densevlm_mm.analysis.images import CanvasImage
from densevlm_mm.models.text import ClassEmbeddings


@pytest.fixture
def embeddings() -> ClassEmbeddings:
    return ClassEmbeddings(
        name="test",
        classes=("boat", "sky", "sea"),
        is_thing=np.array([True, False, False]),
        embeddings=torch.eye(3),
        model="TinyScenes-S",
        templates="plain",
        normalization="class",
        fingerprint="",
    )


@pytest.fixture
def image() -> CanvasImage:
    return CanvasImage("image.png", torch.randint(256, (3, 64, 64), dtype=torch.uint8), (32, 64))


@pytest.fixture
def model():
    """Its dense map has sky in the left half of the image area, boat in the right one, sea in the padding."""
    dense = torch.zeros(1, 3, 8, 8)
    dense[:, 1, :4, :4] = 1
    dense[:, 0, :4, 4:] = 1
    dense[:, 2, 4:] = 1
    return SimpleNamespace(dense=lambda images: dense)


def test_cells_tile_the_image_area_and_not_the_padding(model, image, embeddings) -> None:
    result = classify_grid(model, image, embeddings, (2, 4), temperature=0.5)
    assert [result.classes[label] for label in result.labels] == ["sky", "sky", "boat", "boat"] * 2
    # cosines 1, 0, 0 over tau = 0.5
    np.testing.assert_allclose(result.probabilities, np.exp(2) / (np.exp(2) + 2), rtol=1e-5)


def test_cells_above_the_threshold_are_kept(model, image, embeddings) -> None:
    probability = np.exp(2) / (np.exp(2) + 2)  # of all cells
    for threshold, kept in ((probability - 1e-3, True), (probability + 1e-3, False)):
        result = classify_grid(model, image, embeddings, (1, 2), 0.5, threshold)
        assert [(cell["row"], cell["column"], cell["name"], cell["kept"]) for cell in result.record()] == [
            (0, 0, "sky", kept), (0, 1, "boat", kept),
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("grid", "tau", "theta", "problem"),
    [((0, 3), 0.01, 0.3, "not 0 x 3"), ((2, 2), 0.0, 0.3, "got 0.0"), ((2, 2), 0.01, 1.0, "got 1.0")],
)
def test_impossible_settings_are_refused(model, image, embeddings, grid, tau, theta, problem) -> None:
    with pytest.raises(ValueError, match=problem):
        classify_grid(model, image, embeddings, grid, tau, theta)


def test_the_picture_is_whole(image, tmp_path, assert_whole_picture) -> None:
    names = ("building-other-merged", "a", "traffic light, stop light")
    cells = np.arange(24) % 3, np.linspace(0.05, 0.95, 24), np.arange(24) > 6
    flags = np.array([False, True, True])
    results = {
        "with flags": GridClassification((4, 6), *cells, names, flags),
        "with the truth": GridClassification((4, 6), *cells, names, flags, np.arange(24) > 11),
        "without": GridClassification((6, 4), *cells, names, None),
    }
    plot_grid_classification(image.rgb, results, tmp_path / "a.png")
    assert_whole_picture(tmp_path / "a.png")


def test_cells_of_stuff_alone_that_are_called_things_have_a_red_frame(image, tmp_path) -> None:
    labels, flags, only_stuff = np.array([0, 1, 0]), np.array([True, False]), np.array([True, True, False])
    result = GridClassification((1, 3), labels, np.ones(3), np.ones(3, bool), ("boat", "sky"), flags, only_stuff)
    assert result.stuff_called_things is not None
    assert result.stuff_called_things.tolist() == [True, False, False]
    plot_grid_classification(np.zeros_like(image.rgb), {"a": result}, tmp_path / "a.png")
    picture = cv2.imread(str(tmp_path / "a.png")).astype(int)
    columns = np.flatnonzero(((picture[..., 2] > 200) & (picture[..., :2] < 90).all(axis=-1)).any(axis=0))
    assert columns.size
    assert columns.max() < 0.45 * picture.shape[1]  # the first cell of three
    unknown = GridClassification((1, 3), labels, np.ones(3), np.ones(3, bool), ("boat", "sky"), flags)
    assert unknown.stuff_called_things is None
