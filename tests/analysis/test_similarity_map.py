import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from densevlm_mm.analysis.images import load_canvas_image
from densevlm_mm.analysis.similarity_map import on_image_area, plot_similarity_maps, similarity_maps


@pytest.fixture
def image(make_model, world):
    return load_canvas_image(str(world / "val" / "000001.jpg"), make_model().cfg)


def test_values_are_cosines_at_every_position(make_model, image) -> None:
    model = make_model()
    text = model.embed_texts(["sky", "boat"])
    maps = similarity_maps(model, image, text)
    dense = model.dense(image.inputs[None])[0]
    assert maps.shape == (2, 8, 8)
    for t, y, x in [(0, 0, 0), (0, 3, 5), (1, 7, 2)]:
        expected = cosine_similarity(text[t], dense[:, y, x], dim=0)
        assert maps[t, y, x] == pytest.approx(expected.item(), abs=1e-5)


def test_centred_values_lack_the_mean_cosine_of_the_classes(make_model, image) -> None:
    model = make_model()
    text, classes = model.embed_texts(["sky"]), model.class_embeddings().embeddings
    expected = similarity_maps(model, image, text) - similarity_maps(model, image, classes).mean(axis=0)
    np.testing.assert_allclose(similarity_maps(model, image, text, classes), expected, atol=1e-5)


def test_padding_is_cut_from_the_map(image) -> None:
    wide = type(image)(image.path, image.inputs, (32, 64))
    maps = np.zeros((1, 8, 8), np.float32)
    maps[:, 4:] = 1.0  # the padding
    area = on_image_area(maps, wide)
    assert area.shape == (1, 32, 64)
    assert area[:, :28].max() == 0


@pytest.mark.parametrize("scale", ["shared", "each"])
def test_the_picture_is_whole(image, scale, tmp_path, assert_whole_picture) -> None:
    maps = {name: torch.rand(2, 8, 8).numpy() for name in ("a", "a longer name of a checkpoint")}
    texts = ["sky", "a text of several words that goes on and on"]
    plot_similarity_maps(image, texts, maps, tmp_path / "a.png", scale)
    assert_whole_picture(tmp_path / "a.png")


def test_constant_maps_can_be_drawn_and_unknown_scales_are_refused(image, tmp_path, assert_whole_picture) -> None:
    plot_similarity_maps(image, ["sky"], {"a": np.zeros((1, 8, 8), np.float32)}, tmp_path / "a.png")
    assert_whole_picture(tmp_path / "a.png")
    with pytest.raises(ValueError, match="not 'log'"):
        plot_similarity_maps(image, ["sky"], {}, tmp_path / "a.png", "log")
