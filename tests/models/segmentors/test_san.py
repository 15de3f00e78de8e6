"""SAN as a model: losses, predictions, what trains."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from mmseg.registry import MODELS

from densevlm_mm.engine.optim_wrappers import AutocastOptimWrapper
from densevlm_mm.models.segmentors.san_weights import to_mmseg_layout


@pytest.fixture(params=["vit", "tower"])
def config(request):
    return request.getfixturevalue("san_config" if request.param == "vit" else "tower_san_config")


def build(config, **changes):
    torch.manual_seed(0)
    model = MODELS.build({**config, **changes})
    model.init_weights()
    return model


def total(losses) -> torch.Tensor:
    return sum(value for name, value in losses.items() if "loss" in name)


def losses_of(model, batch):
    torch.manual_seed(1)  # the points
    data = model.data_preprocessor(batch, training=True)
    return model(**data, mode="loss")


@pytest.mark.parametrize("wrapper", [OptimWrapper, AutocastOptimWrapper])
def test_a_step_trains_the_side_adapter_and_nothing_frozen(config, make_batch, quadrants, wrapper) -> None:
    model = build(config)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    wrapped = wrapper(optimizer, clip_grad=dict(max_norm=0.01))
    model.train()
    logged = model.train_step(make_batch(quadrants, quadrants.flip(0)), wrapped)
    assert all(torch.isfinite(torch.as_tensor(value)).all() for value in logged.values())
    frozen = [n for n in before if n.startswith(("image_encoder", "decode_head.rec")) and "pos_embed" not in n]
    assert frozen
    for name, value in model.state_dict().items():
        if name in frozen:
            assert torch.equal(value, before[name]), name
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    unmoved = [n for n in trained if torch.equal(model.state_dict()[n], before[n])]
    assert not unmoved


def test_published_position_embedding_trains_and_strictly_frozen_does_not(san_config) -> None:
    published = build(san_config)
    assert [n for n, p in published.image_encoder.named_parameters() if p.requires_grad] == ["pos_embed"]
    san_config["image_encoder"]["frozen_exclude"] = []
    assert not any(p.requires_grad for p in build(san_config).image_encoder.parameters())


def test_tower_is_frozen_altogether(tower_san_config) -> None:
    model = build(tower_san_config)
    assert not any(p.requires_grad for p in model.image_encoder.parameters())
    assert not list(model.decode_head.rec_with_attnbias.parameters())


def test_images_without_any_label_give_finite_losses(config, make_batch, quadrants) -> None:
    model = build(config)
    empty = torch.full_like(quadrants, 255)
    for batch in (make_batch(empty, empty), make_batch(empty, quadrants)):
        losses = losses_of(model, batch)
        assert all(torch.isfinite(value).all() for value in losses.values())
        total(losses).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_ignored_pixels_are_no_segment(config, make_batch, quadrants) -> None:
    """Neither the number under which pixels are ignored nor anything else about them enters."""
    model = build(config)
    wide = build(
        config,
        data_preprocessor=dict(config["data_preprocessor"], seg_pad_val=65535),
        decode_head=dict(config["decode_head"], ignore_index=65535),
    )
    wide.load_state_dict(model.state_dict())
    narrow_losses = losses_of(model, make_batch(quadrants))
    wide_losses = losses_of(wide, make_batch(torch.where(quadrants == 255, 65535, quadrants)))
    for name, value in narrow_losses.items():
        torch.testing.assert_close(wide_losses[name], value)


def test_a_label_outside_the_vocabulary_is_an_error(config, make_batch, quadrants) -> None:
    with pytest.raises(ValueError, match="label 65535"):
        losses_of(build(config), make_batch(torch.where(quadrants == 255, 65535, quadrants)))


def test_an_ignored_label_inside_the_vocabulary_is_an_error(config, make_class_embeddings) -> None:
    dim, model = config["class_embeddings"].embed_dim, config["class_embeddings"].model
    many = make_class_embeddings(tuple(f"class {i}" for i in range(300)), dim, model)
    with pytest.raises(ValueError, match="ignore_index 255"):
        build(config, class_embeddings=many)
    with pytest.raises(ValueError, match="seg_pad_val=255"):
        build(config, class_embeddings=many, decode_head=dict(config["decode_head"], ignore_index=65535))


def test_predicts_over_another_and_larger_vocabulary(config, make_batch, make_class_embeddings) -> None:
    train = config["class_embeddings"]
    test = make_class_embeddings(tuple(f"class {i}" for i in range(300)), train.embed_dim, train.model)
    model = build(config, test_class_embeddings=test).eval()
    with torch.no_grad():
        (sample,) = model.test_step(make_batch(size=(40, 56)))
    assert sample.pred_sem_seg.data.shape == (1, 40, 56)
    assert sample.pred_sem_seg.data.dtype == torch.int64
    assert sample.seg_logits.data.shape == (300, 40, 56)
    assert sample.vocabulary_classes == model.predicted_classes() == test.classes
    facts = model.vocabulary_facts()
    assert (facts["vocabulary"], facts["num_classes"], facts["model"]) == (test.name, 300, test.model)
    assert sample.training_classes == model.training_classes() == train.classes
    assert model.predicted_classes() == test.classes
    assert torch.equal(sample.seg_logits.data.argmax(dim=0), sample.pred_sem_seg.data[0])


def test_scores_that_are_not_finite_are_an_error_with_the_image(config, make_batch) -> None:
    model, batch = build(config).eval(), make_batch()
    batch["inputs"] = [image.float().fill_(torch.nan) for image in batch["inputs"]]
    batch["data_samples"][0].set_metainfo(dict(img_path="day/1.jpg"))
    with pytest.raises(ValueError, match=r"day/1\.jpg: the model's scores are not finite"), torch.no_grad():
        model.test_step(batch)


def test_prediction_is_the_mixture_of_masks_by_their_classes(config, make_batch) -> None:
    model = build(config).eval()
    batch = make_batch(count=2)
    with torch.no_grad():
        samples = model.test_step(copy.deepcopy(batch))
        inputs = model.data_preprocessor(batch)["inputs"]
        (masks,), (scores,) = model(inputs)
    masks = F.interpolate(masks, size=(64, 64), mode="bilinear", align_corners=False).sigmoid()
    classes = scores.softmax(dim=-1)[..., :-1]
    for image, sample in enumerate(samples):
        expected = sum(classes[image, q, :, None, None] * masks[image, q] for q in range(5))
        torch.testing.assert_close(sample.seg_logits.data, expected)


def test_slide_inference_over_a_vocabulary_of_another_size(config, make_batch, make_class_embeddings) -> None:
    train = config["class_embeddings"]
    test = make_class_embeddings(("a", "b", "c", "d", "e", "f"), train.embed_dim, train.model)
    slide = dict(mode="slide", crop_size=(64, 64), stride=(32, 32))
    model = build(config, test_class_embeddings=test, test_cfg=slide).eval()
    whole = build(config, test_class_embeddings=test).eval()
    whole.load_state_dict(model.state_dict())
    with torch.no_grad():
        (large,) = model.test_step(make_batch(size=(96, 64)))
        (one,) = model.test_step(make_batch())
        (same,) = whole.test_step(make_batch())
    assert large.seg_logits.data.shape == (6, 96, 64)
    torch.testing.assert_close(one.seg_logits.data, same.seg_logits.data)


def test_a_trained_model_loads_under_another_test_vocabulary(config, make_class_embeddings) -> None:
    train = config["class_embeddings"]
    test = make_class_embeddings(("a", "b", "c"), train.embed_dim, train.model)
    trained = build(config).state_dict()
    assert not any("text" in name and name != "text_encoder.bg_embed" for name in trained)
    build(config, test_class_embeddings=test).load_state_dict(trained)


def test_init_weights_loads_clip(san_config, clip) -> None:
    model = build(san_config)
    state_dict = model.state_dict()
    for name, value in to_mmseg_layout(clip.state_dict(), 2).items():
        if not name.startswith("text_encoder."):
            assert torch.equal(state_dict[name], value), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(clip=None), "model.clip"),
        (dict(clip=dict(model_name="ViT-B-16-quickgelu")), "model.clip"),
        (dict(pretrained="clip.pth"), "pretrained='clip.pth'"),
    ],
)
def test_missing_weights_are_an_error(san_config, changes, message) -> None:
    with pytest.raises(ValueError, match=message):
        build(san_config, **changes)


def test_num_classes_against_the_vocabulary_is_an_error(config) -> None:
    with pytest.raises(ValueError, match="num_classes=171"):
        build(config, decode_head=dict(config["decode_head"], num_classes=171))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(fusion_index=[0, 2]), r"fusion_index=\[0, 2\]"),
        (dict(fusion_index=[0]), "gives 2 maps"),
        (dict(clip_channels=48), "expects 2 of 48"),
    ],
)
def test_a_side_adapter_for_another_encoder_is_an_error(config, changes, message) -> None:
    config["decode_head"]["san_cfg"].update(changes)
    with pytest.raises(ValueError, match=message):
        build(config)


def test_numbers_of_queries_that_differ_are_an_error(san_config) -> None:
    san_config["decode_head"]["maskgen_cfg"]["sos_token_num"] = 6
    with pytest.raises(ValueError, match="sos_token_num=6"):
        build(san_config)


def test_embeddings_of_another_space_are_an_error(config, make_class_embeddings) -> None:
    with pytest.raises(ValueError, match="dimension 24"):
        build(config, class_embeddings=make_class_embeddings(dim=24))


def test_only_the_vocabulary_that_is_used_is_encoded(tower_san_config, make_batch, quadrants, tmp_path) -> None:
    train = dict(vocabulary=["boat", "cow", "car", "sky"], templates="plain", cache_dir=tmp_path)
    model = build(tower_san_config, class_embeddings=train, test_class_embeddings=dict(vocabulary=["boat", "car"]))
    assert not list(tmp_path.iterdir())
    with torch.no_grad():
        model.eval().test_step(make_batch())
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    losses_of(model, make_batch(quadrants))
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


@pytest.mark.parametrize("names", [["boat"], []])
def test_fewer_than_two_names_are_refused(tower_san_config, names) -> None:
    train = dict(vocabulary="tiny_scenes", templates="plain")
    with pytest.raises(ValueError, match=r"vocabulary 'boat' has one class|holds no classes"):
        build(tower_san_config, class_embeddings=train, test_class_embeddings=dict(vocabulary=names))


@pytest.mark.parametrize("source", ["file", "list"])
def test_test_vocabulary_takes_over_prompts_and_text_tower(tower_san_config, request, tmp_path, source) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("cow\nsheep, lamb\n")
    names = str(path) if source == "file" else ["cow", "sheep, lamb"]
    student = str(request.config.rootpath / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors")
    train = dict(vocabulary="tiny_scenes", templates="tiny_scenes", synonyms="first")
    model = build(tower_san_config, class_embeddings=train, test_class_embeddings=dict(vocabulary=names))
    assert model.text_encoder.test_classes == ("cow", "sheep, lamb")

    from densevlm_mm.models.text import build_class_embeddings

    expected = build_class_embeddings(names, "TinyScenes-S", student, "tiny_scenes", synonyms="first").embeddings
    torch.testing.assert_close(model.text_encoder(test=True)[:2] / 100, expected)
    assert len(model.text_encoder()) == 32 + 1


@pytest.mark.parametrize(("height", "width"), [(1, 64), (64, 3), (1, 1)])
def test_images_thinner_than_a_patch_are_segmented(config, height: int, width: int) -> None:
    """[thin_image]"""
    model = build(config).eval()
    images = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = model.encode_decode(images, [dict(img_shape=(height, width), pad_shape=(height, width))])
        side = 8 if "encoder" in config["image_encoder"] else 16  # a patch, at half the resolution
        padded = F.pad(images, [0, max(0, side - width), 0, max(0, side - height)])
        expected = model.encode_decode(padded, [dict(img_shape=tuple(padded.shape[2:]))])
    assert scores.shape[2:] == (height, width)
    assert torch.isfinite(scores).all()
    torch.testing.assert_close(scores, expected[..., :height, :width])
