import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

ROOT = Path(__file__).resolve().parents[3]
NAMES = ("sky", "cat", "grass", "dog", "sea")
SLIDE = dict(mode="slide", size=24, crop_size=16, stride=8)

CLIP = dict(
    embed_dim=8,
    quick_gelu=True,
    vision_cfg=dict(image_size=16, patch_size=8, width=32, layers=3, head_width=16),
    text_cfg=dict(context_length=16, vocab_size=49408, width=16, heads=2, layers=2),
)


@pytest.fixture
def segmentation_scope(_default_scope) -> None:
    """The scope of segmentation configs, with the segmentation parts registered."""
    import densevlm_mm.segmentation  # noqa: F401

    init_default_scope("mmseg")


@pytest.fixture
def cat_seg_config(segmentation_scope) -> ConfigDict:
    clip = dict(model_name=CLIP, checkpoint="random")
    aggregator = dict(
        channels=16,
        num_heads=2,
        window_size=2,
        decoder_guidance_channels=(4, 4),
        decoder_channels=(16, 16),
        max_classes=4,
    )
    return ConfigDict(
        type="CATSeg",
        image_encoder=dict(
            type="densevlm_mm.DenseImageEncoder",
            image_size=32,
            trainable="query_value",
            dense_residual="cls",
            **copy.deepcopy(clip),
        ),
        text_encoder=dict(type="densevlm_mm.ClipTextEncoder", trainable="query_value", **copy.deepcopy(clip)),
        guidance_indices=(0, 1),
        decode_head=dict(type="CATSegHead", guidance_channels=(6, 5), aggregator=aggregator),
        vocabulary=["cat", "dog, hound", "sky"],
        test_vocabulary=["sky", "cat", "grass", "dog", "sea"],
    )


@pytest.fixture
def build_cat_seg(cat_seg_config) -> Callable:
    def build(noise=0.2, **options):
        torch.manual_seed(0)
        config = copy.deepcopy(cat_seg_config)
        for key, value in options.items():  # ConfigDict.update would merge
            config[key] = value
        model = MODELS.build(config)
        with torch.no_grad():  # logits of all signs and sizes
            for parameter in model.parameters():
                parameter.add_(noise * torch.randn_like(parameter))
        return model

    return build


def images(*size: int) -> torch.Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(1))


def samples(*shapes: tuple[int, int], label=None, **metainfo) -> list[SegDataSample]:
    made = []
    for shape in shapes:
        sample = SegDataSample(metainfo=dict(ori_shape=shape, img_shape=shape, **metainfo))
        if label is not None:
            labels = torch.randint(0, 3, (1, *shape), generator=torch.Generator().manual_seed(2))
            sample.gt_sem_seg = PixelData(data=labels if label == "random" else torch.full_like(labels, label))
        made.append(sample)
    return made


def resize(maps, size):
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize("dense_residual", ["cls", "token"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_query_and_value_and_the_head_train_and_nothing_else(build_cat_seg, dense_residual, size) -> None:
    model = build_cat_seg()
    model.image_encoder._tower.dense_residual = dense_residual
    model.train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01, weight_decay=0.1)
    losses = model(images(2, 3, *size), samples(size, size, label="random"), mode="loss")
    assert losses["decode.acc_seg"] >= 0
    losses["decode.loss_seg"].backward()
    optimizer.step()
    for name, parameter in model.named_parameters():
        tuned = name.startswith("decode_head") or name.endswith(("in_proj_weight_q", "in_proj_weight_v"))
        unused = name == "image_encoder.visual.transformer.resblocks.2.attn.in_proj_weight_q"
        assert parameter.requires_grad == (tuned and not unused), name
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert torch.equal(parameter, before[name]) == (not parameter.requires_grad), name


@pytest.mark.parametrize("label", [255, 65535])
def test_an_image_without_labels_gives_a_finite_loss(build_cat_seg, label) -> None:
    model = build_cat_seg().train()
    loss = model(images(1, 3, 32, 32), samples((32, 32), label=label), mode="loss")["decode.loss_seg"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_loss_compares_enlarged_logits_of_the_training_classes(build_cat_seg) -> None:
    model = build_cat_seg().train()
    x, batch = images(2, 3, 40, 24), samples((40, 24), (40, 24), label="random")
    loss = model(x, batch, mode="loss")["decode.loss_seg"]
    taps, dense = model.image_encoder.features_and_dense(resize(x, (32, 32)), (0, 1), normalize=False)
    text = model.text_encoder(tuple((f"A photo of a {name} in the scene",) for name in ("cat", "dog", "sky")))
    logits = resize(model.decode_head(dense, taps, text), (40, 24))
    target = torch.cat([F.one_hot(sample.gt_sem_seg.data, 3) for sample in batch]).permute(0, 3, 1, 2).float()
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, target))


def test_it_learns_one_image(build_cat_seg) -> None:
    model = build_cat_seg(noise=0.0).train()
    with torch.no_grad():  # a random text tower would hardly tell classes apart
        for parameter in model.text_encoder.parameters():
            parameter.add_(0.5 * torch.randn_like(parameter))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-3)
    labels = torch.zeros(1, 32, 32, dtype=torch.long)
    labels[:, 16:] = 2
    sample = SegDataSample(metainfo=dict(ori_shape=(32, 32)), gt_sem_seg=PixelData(data=labels))
    losses = []
    for _ in range(25):
        loss = model(images(1, 3, 32, 32), [sample], mode="loss")["decode.loss_seg"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-3:]) < 0.6 * sum(losses[:3])


@pytest.mark.parametrize("test_cfg", [dict(mode="whole"), SLIDE])
@pytest.mark.parametrize("size", [(32, 32), (10, 50)], ids=["square", "smaller than a crop"])
def test_predictions_have_the_original_size_and_the_vocabularys_names(build_cat_seg, test_cfg, size) -> None:
    model = build_cat_seg(test_cfg=test_cfg).eval()
    with torch.no_grad():
        results = model(images(2, 3, *size), samples((17, 60), (21, 9)), mode="predict")
    for result, shape in zip(results, [(17, 60), (21, 9)], strict=True):
        assert result.pred_sem_seg.data.shape == (1, *shape)
        assert result.pred_sem_seg.data.dtype == torch.int64
        assert result.seg_logits.data.shape == (5, *shape)
        assert torch.equal(result.seg_logits.data.argmax(dim=0, keepdim=True), result.pred_sem_seg.data)
        assert result.vocabulary_classes == NAMES


@pytest.mark.parametrize("keep_scores", [True, False])
def test_scores_that_are_not_finite_are_an_error_with_the_image(build_cat_seg, keep_scores) -> None:
    x, of = images(2, 3, 20, 28), samples((20, 28), (20, 28))
    x[1] = torch.nan
    of[1].set_metainfo(dict(img_path="day/1.jpg"))
    model = build_cat_seg(test_cfg=dict(keep_scores=keep_scores)).eval()
    with pytest.raises(ValueError, match=r"day/1\.jpg: the model's scores are not finite"), torch.no_grad():
        model(x, of, mode="predict")


def test_without_data_samples_the_input_size_is_the_original_one(build_cat_seg) -> None:
    with torch.no_grad():
        (result,) = build_cat_seg().eval()(images(1, 3, 20, 28), mode="predict")
    assert result.pred_sem_seg.data.shape == (1, 20, 28)


def test_whole_mode_enlarges_the_sigmoid_of_the_raw_logits(build_cat_seg) -> None:
    model, x = build_cat_seg().eval(), images(1, 3, 20, 28)
    with torch.no_grad():
        logits = model(x, mode="tensor")
        (result,) = model(x, samples((33, 21)), mode="predict")
    assert logits.shape == (1, 5, 16, 16)
    torch.testing.assert_close(result.seg_logits.data, resize(logits.sigmoid(), (33, 21))[0])


@pytest.mark.parametrize(("size", "crop", "stride"), [(24, 16, 8), (20, 16, 8), (16, 16, 16)])
def test_slide_mode_averages_crops_and_the_view_of_the_whole(build_cat_seg, size, crop, stride) -> None:
    model = build_cat_seg(test_cfg=dict(mode="slide", size=size, crop_size=crop, stride=stride)).eval()
    x = images(1, 3, 18, 27)
    with torch.no_grad():
        (result,) = model(x, samples((18, 27)), mode="predict")
        squashed = resize(x, (size, size))
        total, counts = torch.zeros(5, size, size), torch.zeros(size, size)
        starts = sorted({*range(0, size - crop, stride), size - crop})
        for top in starts:
            for left in starts:
                view = squashed[:, :, top : top + crop, left : left + crop]
                scores = resize(model(view, mode="tensor"), (crop, crop)).sigmoid()[0]
                total[:, top : top + crop, left : left + crop] += scores
                counts[top : top + crop, left : left + crop] += 1
        whole = resize(model(resize(x, (crop, crop)), mode="tensor"), (crop, crop)).sigmoid()
        expected = resize((total / counts + resize(whole, (size, size))[0])[None] / 2, (18, 27))[0]
    torch.testing.assert_close(result.seg_logits.data, expected)


def test_scores_can_be_left_out_and_labels_stay(build_cat_seg, monkeypatch) -> None:
    from densevlm_mm.models.segmentors import cat_seg

    x = images(1, 3, 20, 28)
    with torch.no_grad():
        (full,) = build_cat_seg().eval()(x, samples((33, 21)), mode="predict")
        monkeypatch.setattr(cat_seg, "CLASSES_AT_ONCE", 2)
        (lean,) = build_cat_seg(test_cfg=dict(mode="whole", keep_scores=False)).eval()(
            x, samples((33, 21)), mode="predict"
        )
    assert "seg_logits" not in lean
    assert torch.equal(lean.pred_sem_seg.data, full.pred_sem_seg.data)
    assert len(full.pred_sem_seg.data.unique()) > 1


def test_flipped_images_are_flipped_back(build_cat_seg) -> None:
    model, x = build_cat_seg().eval(), images(1, 3, 32, 32)
    with torch.no_grad():
        (plain,) = model(x, samples((32, 32)), mode="predict")
        (flipped,) = model(x, samples((32, 32), flip=True, flip_direction="horizontal"), mode="predict")
    torch.testing.assert_close(flipped.seg_logits.data, plain.seg_logits.data.flip(-1))


def test_padded_images_are_refused(build_cat_seg) -> None:
    model = build_cat_seg(data_preprocessor=dict(type="SegDataPreProcessor", test_cfg=dict(size_divisor=32))).eval()
    data = dict(inputs=[images(3, 20, 32)], data_samples=samples((20, 32)))
    with pytest.raises(ValueError, match="takes no padded ones"), torch.no_grad():
        model.test_step(data)


def test_text_tower_runs_once_for_many_images_and_again_after_training(build_cat_seg, monkeypatch) -> None:
    model = build_cat_seg(test_cfg=SLIDE)
    calls = []
    model.text_encoder.clip.ln_final.register_forward_hook(lambda *_: calls.append(1))

    def predict() -> torch.Tensor:
        model.eval()
        with torch.no_grad():
            return [model(images(2, 3, 32, 32), mode="predict")[0].seg_logits.data for _ in range(2)][1]

    before = predict()
    assert len(calls) == 1
    model.train()
    loss = model(images(1, 3, 32, 32), samples((32, 32), label="random"), mode="loss")["decode.loss_seg"]
    assert len(calls) == 2
    optimizer = torch.optim.SGD([p for p in model.text_encoder.parameters() if p.requires_grad], lr=100.0)
    loss.backward()
    optimizer.step()
    assert not torch.equal(predict(), before)
    assert len(calls) == 3


def test_test_vocabulary_can_be_changed_and_keeps_the_prompts(build_cat_seg) -> None:
    model = build_cat_seg(vocabulary=["cat", "sky"], templates=["{}"]).eval()
    assert model.test_classes.prompts == tuple((name,) for name in NAMES)
    model.set_vocabulary(["dog", "cat"])
    assert model.test_classes.prompts == (("dog",), ("cat",))
    with torch.no_grad():
        (result,) = model(images(1, 3, 32, 32), mode="predict")
    assert result.vocabulary_classes == ("dog", "cat")
    assert result.training_classes == model.training_classes() == ("cat", "sky")
    assert model.predicted_classes() == ("dog", "cat")
    facts = model.vocabulary_facts()
    assert (facts["vocabulary"], facts["num_classes"], facts["templates"]) == (["dog", "cat"], 2, ["{}"])
    assert result.seg_logits.data.shape[0] == 2


def test_checkpoint_gives_the_same_predictions(build_cat_seg) -> None:
    model, other = build_cat_seg().eval(), build_cat_seg().eval()
    with torch.no_grad():
        other.load_state_dict({name: value + 0.1 for name, value in model.state_dict().items()})
        changed = other(images(1, 3, 32, 32), mode="predict")[0].seg_logits.data
        other.load_state_dict(model.state_dict())
        one, two = (m(images(1, 3, 32, 32), mode="predict")[0].seg_logits.data for m in (model, other))
    assert torch.equal(one, two)
    assert not torch.equal(one, changed)


def test_trains_under_autocast(build_cat_seg) -> None:
    model = build_cat_seg().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(images(1, 3, 32, 32), samples((32, 32), label="random"), mode="loss")
    losses["decode.loss_seg"].backward()
    assert losses["decode.loss_seg"].dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def test_text_tower_comes_from_the_image_encoders_checkpoint_by_default(cat_seg_config) -> None:
    student = str(ROOT / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors")
    cat_seg_config.pop("text_encoder")
    cat_seg_config.image_encoder.update(model_name=None, checkpoint=student, dense_residual="token", image_size=64)
    model = MODELS.build(cat_seg_config)
    assert model.text_encoder.model_name == "TinyScenes-S"
    assert any(p.requires_grad for p in model.text_encoder.parameters())


@pytest.mark.parametrize("name", ["eva02", "timm_gap"])
def test_other_towers_are_taken_in(cat_seg_config, name) -> None:
    """EVA-02's and average-pooling towers have the same dense path."""
    import timm.models.eva  # noqa: F401

    text = dict(context_length=16, vocab_size=49408, width=16, heads=2, layers=1)
    trunk = {"eva02": "eva02_tiny_patch14_224", "timm_gap": "vit_tiny_patch16_224"}[name]
    pool = {"eva02": "token", "timm_gap": "avg"}[name]
    vision = dict(timm_model_name=trunk, timm_pool=pool, timm_proj="linear", image_size=224)
    clip = dict(model_name=dict(embed_dim=8, custom_text=True, vision_cfg=vision, text_cfg=text), checkpoint="random")
    cat_seg_config.image_encoder.update(image_size=56 if name == "eva02" else 64, dense_residual="token", **clip)
    cat_seg_config.text_encoder.update(clip)
    model = MODELS.build(cat_seg_config).train()
    loss = model(images(1, 3, 32, 32), samples((32, 32), label="random"), mode="loss")["decode.loss_seg"]
    loss.backward()
    assert all((p.grad is not None) == p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(guidance_indices=(0,)), "guidance_indices must be two blocks"),
        (dict(test_cfg=dict(mode="tile")), "test_cfg.mode must be 'whole' or 'slide', got 'tile'"),
        (dict(test_cfg=dict(mode="whole", stride=3)), r"unknown keys \['stride'\]"),
        (
            dict(test_cfg=dict(mode="slide", size=8, crop_size=16, stride=8)),
            "stride <= crop_size <= size, got 8, 16, 8",
        ),
        (dict(vocabulary=None), "needs a vocabulary"),
        (dict(vocabulary="coco"), "unknown vocabulary 'coco'"),
        (dict(test_vocabulary=["cat", 3]), "class 1 has no name: 3"),
        (dict(templates="no_set"), "no_set"),
        (dict(class_embeddings=dict(vocabulary="coco_stuff_171")), "vocabulary=X, templates="),
        (dict(test_class_embeddings=dict(vocabulary="ade20k_150")), r"test_class_embeddings=.* test_vocabulary=Y"),
    ],
)
def test_impossible_options_are_refused(build_cat_seg, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        build_cat_seg(**options)


def test_towers_of_two_models_are_refused(cat_seg_config) -> None:
    cat_seg_config.text_encoder.model_name.embed_dim = 16
    with pytest.raises(ValueError, match="text tower 'custom' embeds in 16 dimensions, image tower 'custom' in 8"):
        MODELS.build(cat_seg_config)


@pytest.mark.parametrize(
    ("name", "new", "clip", "tuned", "last_query"),
    [
        ("b16", 4_668_641, 149_620_737, 25_115_873, 768**2),
        ("l14", 5_782_753, 427_944_193, 70_270_177, 1024**2),
    ],
)
def test_published_parameter_counts(segmentation_scope, name, new, clip, tuned, last_query) -> None:
    """The published count of trained parameters has the last block's query, whose gradient is always zero."""
    config = Config.fromfile(ROOT / f"configs/_base_/models/cat_seg_vit-{name}.py").model
    config.image_encoder.checkpoint = config.text_encoder.checkpoint = "random"
    with torch.device("meta"):
        model = MODELS.build(config)

    def count(module: torch.nn.Module, trained: bool = False) -> int:
        return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)

    assert count(model.decode_head) == new
    assert count(model.image_encoder) + count(model.text_encoder) == clip
    assert count(model, trained=True) == tuned - last_query
    assert count(model) == new + clip
