from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from densevlm_mm.vocabulary import Vocabulary

TEST_CFG = ConfigDict(score_thr=0.0, nms=dict(type="nms", iou_threshold=0.5), max_per_img=100)


@pytest.fixture
def build(fvit_config):
    def build(**options):
        torch.manual_seed(0)
        return MODELS.build({**fvit_config.roi_head.bbox_head, **options})

    return build


def features(num_regions: int = 5) -> torch.Tensor:
    return torch.randn(num_regions, 16, 7, 7, generator=torch.Generator().manual_seed(2))


def cosines(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """One by one, in double precision."""
    rows, columns = rows.double(), columns.double()
    return torch.stack([torch.stack([(r @ c) / (r.norm() * c.norm()) for c in columns]) for r in rows])


def test_logits_are_scaled_cosines(build, make_embeddings) -> None:
    head = build().eval()
    embedding = []
    head.fc_cls.register_forward_hook(lambda _, __, out: embedding.append(out))
    logits, deltas = head(features())
    assert logits.shape == (5, 4)
    assert deltas.shape == (5, 4)
    expected = 50 * cosines(embedding[0], make_embeddings().embeddings)
    torch.testing.assert_close(logits.double(), expected, atol=1e-4, rtol=1e-5)


def test_only_the_temperature_and_the_layers_are_state(build) -> None:
    head = build()
    names = set(head.state_dict())
    assert "temperature" in names
    assert not [name for name in names if name.startswith(("fc_cls", "text", "loss_cls", "vlm_share"))]
    head.init_weights()  # the inherited init_cfg names fc_cls
    assert head.temperature.item() == 50


def test_fixed_temperature_is_not_overwritten_by_a_learned_one(build) -> None:
    learned, fixed = build(temperature=50.0), build(temperature=20.0, learn_temperature=False)
    learned.temperature.data.fill_(61.0)
    fixed.load_state_dict(learned.state_dict())  # strict
    assert fixed.temperature.item() == 20
    assert "temperature" not in dict(fixed.named_parameters())
    other = build()
    other.load_state_dict(learned.state_dict())
    assert other.temperature.item() == 61


def test_logits_are_full_precision_under_autocast(build) -> None:
    head = build().eval()
    embedding = []
    head.fc_cls.register_forward_hook(lambda _, __, out: embedding.append(out))
    with torch.autocast("cpu", torch.bfloat16):
        logits, deltas = head(features())
    assert embedding[0].dtype == torch.bfloat16
    assert logits.dtype == deltas.dtype == torch.float32
    torch.testing.assert_close(logits.double(), 50 * cosines(embedding[0], head.text), atol=1e-4, rtol=1e-5)


def test_zero_embedding_gives_finite_loss_and_gradients(build) -> None:
    head = build()
    head.cls_fcs[0].weight.data.zero_()
    head.cls_fcs[0].bias.data.fill_(-1.0)  # ReLU leaves nothing
    logits, deltas = head(features())
    assert (logits == 0).all()
    loss = head.loss_cls(logits, torch.tensor([0, 2, 3, 3, 3]), avg_factor=5) + deltas.sum() * 0
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


def test_novel_text_has_no_influence_on_training(build, make_embeddings) -> None:
    """Neither loss nor gradients change with the novel class's embedding."""
    found = []
    for change in (0.0, 3.0):
        head = build()
        head.text[1] += change
        logits, _ = head(features())
        loss = head.loss_cls(logits, torch.tensor([0, 2, 3, 3, 3]), avg_factor=5)
        loss.backward()
        found.append((loss, {n: p.grad for n, p in head.named_parameters() if p.grad is not None}))
    (loss, grads), (other_loss, other_grads) = found
    assert torch.equal(loss, other_loss)
    assert grads.keys() == other_grads.keys()
    assert all(torch.equal(grad, other_grads[name]) for name, grad in grads.items())


def test_loss_is_told_base_novel_and_background(build) -> None:
    assert build().loss_cls.class_weight.tolist() == pytest.approx([1, 0, 1, 0.6])
    own = build(loss_cls=dict(type="MaskedCrossEntropyLoss", class_weight=[1, 1, 1, 0.5])).loss_cls
    assert own.class_weight.tolist() == [1, 1, 1, 0.5]
    assert build(loss_cls=dict(type="MaskedCrossEntropyLoss", loss_weight=2.0)).loss_cls.loss_weight == 2


def test_novel_classes_of_a_packaged_split(build, make_embeddings) -> None:
    from densevlm_mm.vocabulary import Vocabulary

    classes = Vocabulary.load("ov_coco_65").classes
    head = build(num_classes=65, class_embeddings=make_embeddings(classes), novel_classes="ov_coco_65")
    assert (head.loss_cls.class_weight == 0).sum() == 17
    assert head.vlm_share[classes.index("umbrella")].item() == pytest.approx(0.8)
    assert head.vlm_share[classes.index("person")].item() == pytest.approx(0.1)


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 0.8), (0.0, 1.0), (0.2, 0.2)])
def test_ensemble_is_the_formula_with_background_as_base(build, alpha: float, beta: float) -> None:
    head = build(alpha=alpha, beta=beta, vlm_temperature=30.0)
    logits = torch.tensor([[1.0, -2.0, 0.5, 3.0], [40.0, 0.0, -40.0, 1.0]])
    vlm = torch.randn(2, 128, generator=torch.Generator().manual_seed(3))
    scores = head.ensemble(logits, vlm)
    q = (30 * cosines(vlm, head.text)).exp()
    p = logits.double().exp()
    for region in range(2):
        for column, share in enumerate((alpha, beta, alpha, alpha)):
            p_c = p[region, column] / p[region].sum()
            q_c = q[region, column] / q[region].sum()
            expected = p_c ** (1 - share) * q_c**share
            assert scores[region, column].item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-9)
    assert ((scores >= 0) & (scores <= 1)).all()


def test_ensemble_does_not_depend_on_the_norm_of_the_encoders_features(build) -> None:
    head = build()
    logits, vlm = torch.randn(3, 4), torch.randn(3, 128)
    torch.testing.assert_close(head.ensemble(logits, vlm), head.ensemble(logits, 0.1 * vlm))
    assert torch.isfinite(head.ensemble(logits, torch.zeros(3, 128))).all()


def test_scores_reach_the_result_without_another_softmax(build) -> None:
    head = build()
    boxes = torch.tensor([[0, 10.0, 12.0, 30.0, 40.0], [0, 50.0, 50.0, 90.0, 70.0]])
    scores = torch.tensor([[0.7, 0.1, 0.05, 0.2], [0.02, 0.3, 0.01, 0.9]])
    meta = dict(img_shape=(60, 80), scale_factor=(2.0, 4.0))
    result = head._predict_by_feat_single(boxes, scores, torch.zeros(2, 4), meta, rescale=True, rcnn_test_cfg=TEST_CFG)
    found = {(round(float(s), 4), int(k)) for s, k in zip(result.scores, result.labels, strict=True)}
    assert found == {(0.7, 0), (0.1, 1), (0.05, 2), (0.02, 0), (0.3, 1), (0.01, 2)}  # the background column is gone
    first = result.bboxes[(result.scores == 0.3).nonzero().item()]
    assert first.tolist() == pytest.approx([25.0, 12.5, 40.0, 15.0])  # clipped to 80 x 60, then rescaled
    raw = head._predict_by_feat_single(boxes, scores, torch.zeros(2, 4), meta)
    assert torch.equal(raw.scores, scores)


def test_no_region_gives_an_empty_result(build) -> None:
    meta = dict(img_shape=(60, 80), scale_factor=(1.0, 1.0))
    empty = build()._predict_by_feat_single(
        torch.zeros(0, 5), torch.zeros(0, 4), torch.zeros(0, 4), meta, rcnn_test_cfg=TEST_CFG
    )
    assert empty.bboxes.shape == (0, 4)
    assert len(empty.scores) == len(empty.labels) == 0


@pytest.mark.parametrize("vocabulary", ["tiny_scenes", ["boat", "cow", "car"]])
def test_embeddings_are_built_from_a_vocabulary_when_they_are_used(build, vocabulary, tmp_path: Path, request) -> None:
    student = request.config.rootpath / "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"
    options = dict(
        vocabulary=vocabulary,
        templates="tiny_scenes",
        extra_classes=("background",),
        model_name="TinyScenes-S",
        checkpoint=str(student),
        cache_dir=tmp_path,
    )
    head = build(num_classes=None, novel_classes=("boat",), class_embeddings=options)
    num_columns = len(Vocabulary.load(vocabulary)) + 1
    assert head.num_classes == num_columns - 1
    assert head.is_novel.tolist().count(True) == 1
    assert not list(tmp_path.iterdir())
    head.prepare_classes(training=False)
    assert list(tmp_path.glob("*.safetensors"))
    assert head.text.shape == (num_columns, 128)
    torch.testing.assert_close(head.text.norm(dim=1), torch.ones(num_columns))


def test_a_model_of_another_dimension_is_refused_without_its_weights(build) -> None:
    options = dict(vocabulary=["boat"], extra_classes=("background",), checkpoint="gone.pt", model_name="ViT-B-16")
    with pytest.raises(ValueError, match="fc_out_channels=512"):
        build(num_classes=None, novel_classes=(), class_embeddings=options)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (dict(num_classes=4), "num_classes"),
        (dict(fc_out_channels=64), "fc_out_channels=128"),
        (dict(novel_classes=("zebra",)), "zebra"),
        (dict(alpha=1.5), "alpha"),
        (dict(beta=-0.5), "beta"),
        (dict(reg_class_agnostic=False), "reg_class_agnostic"),
    ],
)
def test_wrong_arguments_are_named(build, options, named) -> None:
    with pytest.raises(ValueError, match=named):
        build(**options)


def test_embeddings_without_background_are_refused(build, make_embeddings) -> None:
    embeddings = make_embeddings(("boat", "cow", "car")).select([0, 3, 1, 2])
    with pytest.raises(ValueError, match="extra_classes"):
        build(class_embeddings=embeddings)
