import json

import cv2
import pytest
import torch
from PIL import Image
from torch.nn.functional import normalize
from torchvision.transforms.functional import pil_to_tensor, to_pil_image

from densevlm_mm.analysis.retention import (
    class_hits,
    default_captions,
    embed_images,
    image_level_scores,
    labelled_images,
    plot_retention,
    retrieval_ranks,
    retrieval_recalls,
    unique_captions,
    whole_image_loader,
)
from densevlm_mm.datasets.annotations.captions import CaptionedImage


def test_a_hit_is_a_best_class_that_the_image_shows() -> None:
    similarity = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.8, 0.7], [0.3, 0.2, 0.1]])
    present = torch.tensor([[1, 0, 0], [0, 0, 1], [0, 1, 1]], dtype=torch.bool)
    assert class_hits(similarity, present).tolist() == [True, False, False]
    assert class_hits(similarity, present, top=2).tolist() == [True, True, True]
    assert class_hits(similarity, present, top=5).all()


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_ranks_match_a_loop(chunk) -> None:
    generator = torch.Generator().manual_seed(0)
    queries = normalize(torch.randn(10, 4, generator=generator), dim=1)
    items = normalize(torch.randn(7, 4, generator=generator), dim=1)
    items[3] = items[2]  # a tie
    pairs = torch.tensor([[q, i] for q in range(10) for i in {q % 7, (q * 3 + 2) % 7}]).T
    expected = []
    for q in range(10):
        relevant = set(pairs[1][pairs[0] == q].tolist())
        best = max(float(queries[q] @ items[i]) for i in relevant)
        expected.append(sum(float(queries[q] @ items[i]) >= best - 1e-7 for i in range(7) if i not in relevant))
    assert retrieval_ranks(queries, items, pairs, chunk).tolist() == expected
    assert max(expected) > 0


def test_one_caption_of_two_images_is_right_for_both() -> None:
    images = [CaptionedImage("a", ("x", "y")), CaptionedImage("b", ("x",)), CaptionedImage("c", ("z", "z"))]
    texts, pairs = unique_captions(images)
    assert texts == ["x", "y", "z"]
    assert pairs.T.tolist() == [[0, 0], [0, 1], [1, 0], [2, 2]]
    vectors = torch.eye(3)
    recalls = retrieval_recalls(vectors[[0, 0, 2]], vectors, pairs)
    assert recalls["image_to_text_r1"] == 100
    assert recalls["text_to_image_r1"] == pytest.approx(200 / 3)  # nothing finds y's image before the others
    assert recalls["text_to_image_r5"] == 100


def test_whole_images_are_embedded_as_clip_does(make_model, world) -> None:
    model = make_model()
    paths = [str(world / "val" / f"00000{i}.jpg") for i in (1, 2, 3)]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (model.encoder.mean, model.encoder.std))
    images = torch.stack([torch.from_numpy(cv2.imread(path)[..., ::-1].copy()).permute(2, 0, 1) for path in paths])
    expected = normalize(model.encoder((images / 255 - mean) / std), dim=1)
    embedded = embed_images(model.encoder, whole_image_loader(model, paths, batch_size=2))
    torch.testing.assert_close(embedded, expected, atol=1e-5, rtol=0)


def test_whole_images_are_prepared_as_the_weights_want_them(make_model, tmp_path) -> None:
    """SigLIP's images are squashed to a square and normalised with 0.5."""
    pixels = torch.randint(256, (3, 90, 40), dtype=torch.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels.permute(1, 2, 0).flip(2).numpy())
    model = make_model()
    half = (0.5, 0.5, 0.5)
    model.encoder.preprocess_cfg = {**model.encoder.preprocess_cfg, "resize_mode": "squash", "mean": half, "std": half}
    squashed = to_pil_image(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    expected = normalize(model.encoder(pil_to_tensor(squashed)[None] / 127.5 - 1), dim=1)
    embedded = embed_images(model.encoder, whole_image_loader(model, [str(tmp_path / "a.png")]))
    torch.testing.assert_close(embedded, expected, atol=1e-5, rtol=0)


def test_classes_of_images_are_those_of_the_panoptic_file(make_model, world) -> None:
    paths, present, classes = labelled_images(make_model().cfg)
    content = json.loads((world / "annotations" / "panoptic_val.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    assert len(paths) == 6
    for row, annotation in zip(present, content["annotations"], strict=True):
        expected = {names[segment["category_id"]] for segment in annotation["segments_info"]}
        assert {classes[label] for label in row.nonzero().flatten()} == expected


def test_scores_of_a_model(make_model, world) -> None:
    model = make_model()
    captions = default_captions(model.cfg)
    assert captions == (world / "annotations" / "captions_val.json", world / "val")
    scores = image_level_scores(model, captions)
    assert scores["num_images"] == scores["num_captioned_images"] == 6
    assert scores["class_top1"] <= scores["class_top5"]
    assert scores["image_to_text_r1"] <= scores["image_to_text_r10"]
    assert scores["text_to_image_r10"] == 100  # of six images
    assert "image_to_text_r1" not in image_level_scores(model, None)


def test_the_picture_is_whole(tmp_path, assert_whole_picture) -> None:
    recalls = {f"{way}_r{top}": 100.0 for way in ("image_to_text", "text_to_image") for top in (1, 5, 10)}
    first = dict(class_top1=50.0, class_top5=100.0, class_chance=10.0, **recalls)
    plot_retention({"a": first, "b": first}, tmp_path / "a.png", title="some title")
    assert_whole_picture(tmp_path / "a.png")
    plot_retention({"classes only": dict(class_top1=5.0, class_top5=10.0, class_chance=1.0)}, tmp_path / "b.png")
    assert_whole_picture(tmp_path / "b.png")
