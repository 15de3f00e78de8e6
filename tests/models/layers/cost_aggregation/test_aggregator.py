import pytest
import torch
import torch.nn.functional as F

from densevlm_mm.models.layers.cost_aggregation import CostAggregator, cosine_maps

TINY = dict(
    embed_dim=6,
    guidance_channels=(7, 5),
    channels=16,
    num_heads=2,
    window_size=4,
    decoder_guidance_channels=(4, 3),
    decoder_channels=(16, 8),
    max_classes=5,
)


def inputs(classes: int, prompts: int = 1, side: int = 8, batch: int = 2):
    generator = torch.Generator().manual_seed(classes)
    dense = torch.randn(batch, 6, side, side, generator=generator)
    text = F.normalize(torch.randn(classes, prompts, 6, generator=generator), dim=-1)
    guidance = [torch.randn(batch, width, k * side, k * side, generator=generator) for width, k in ((7, 2), (5, 4))]
    return dense, text, guidance


def expected_logits(reference, model, dense, text, guidance, pool, classes_at_most):
    """One image (D, h, w); the published order of operations, class by class."""
    positions = dense / dense.norm(dim=0, keepdim=True)
    cost = torch.stack([torch.stack([(positions * p[:, None, None]).sum(dim=0) for p in prompts]) for prompts in text])
    order = sorted(range(len(text)), key=lambda t: -cost[t].max().item())
    chosen = sorted(order[:classes_at_most])
    embed = model.cost_embedding
    x = torch.stack([F.conv2d(cost[t][None], embed.weight, embed.bias, padding=3)[0] for t in chosen])
    x = x.permute(0, 2, 3, 1)
    mean_text = text[chosen].mean(dim=1)
    mean_text = mean_text / mean_text.norm(dim=-1, keepdim=True)
    words = (mean_text @ model.text_guidance[0].weight.T + model.text_guidance[0].bias).clamp(min=0)
    convolve = lambda layer, maps: F.conv2d(maps[None], layer.weight, layer.bias, padding=1)[0].clamp(min=0)  # noqa: E731
    appearance = convolve(model.appearance_guidance[0], dense).permute(1, 2, 0)
    for layer in model.layers:
        window = min(4, x.shape[1])
        x = reference.spatial(layer.spatial, x, appearance, window, 2 if x.shape[1] > 4 else 0)
        x = reference.classwise(layer.classwise, x, words, pool, classes_at_most)
    finer = [convolve(project[0], maps) for project, maps in zip(model.decoder_guidance, guidance, strict=True)]
    logits = torch.full((len(text), 4 * x.shape[1], 4 * x.shape[2]), -100.0)
    logits[chosen] = reference.decoder(model.decoder, x, finer)
    return logits


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("classes", "prompts"), [(3, 1), (5, 2), (8, 1)], ids=["few", "just fit", "chosen"])
def test_follows_the_published_formulas(reference, training, classes, prompts):
    model = reference.randomise(CostAggregator(**TINY, num_prompts=prompts)).train(training)
    dense, text, guidance = inputs(classes, prompts)
    result = model(dense, text, guidance)
    assert result.shape == (2, classes, 32, 32)
    for image in range(2):
        guides = [maps[image] for maps in guidance]
        pool = 2 if training else 1
        expected = expected_logits(reference, model, dense[image], text, guides, pool, classes_at_most=5)
        torch.testing.assert_close(result[image], expected, atol=2e-3, rtol=1e-3)


def test_a_large_vocabulary_keeps_the_best_classes_of_each_image(reference):
    model = reference.randomise(CostAggregator(**TINY)).eval()
    dense, text, guidance = inputs(9)
    result = model(dense, text, guidance)
    best = cosine_maps(dense, text).flatten(2).amax(dim=2)
    for image in range(2):
        dropped = (result[image] == -100).flatten(1).all(dim=1)
        assert dropped.sum() == 4
        assert best[image, dropped].max() < best[image, ~dropped].min()
    result.sum().backward()  # the choice is no obstacle to training


@pytest.mark.parametrize("classes", [4, 8])
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_chunks_of_classes_change_nothing(reference, classes, chunk):
    model = reference.randomise(CostAggregator(**TINY)).eval()
    expected = model(*inputs(classes))
    model.class_chunk_size = chunk
    torch.testing.assert_close(model(*inputs(classes)), expected, atol=1e-4, rtol=1e-4)


def test_grad_checkpointing_changes_no_gradient(reference):
    gradients = []
    for grad_checkpointing in (False, True):
        model = CostAggregator(**TINY, grad_checkpointing=grad_checkpointing, class_chunk_size=2)
        reference.randomise(model).train()(*inputs(5)).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
        assert all(g is not None for g in gradients[-1])
    torch.testing.assert_close(*gradients)


def test_chunks_bound_what_the_decoder_sees(reference, monkeypatch):
    model = CostAggregator(**TINY, class_chunk_size=2).eval()
    sizes = []
    model.decoder.register_forward_pre_hook(lambda _, args: sizes.append(args[0].shape[1]))
    model(*inputs(5))
    assert sizes == [2, 2, 1]


def test_another_number_of_prompts_is_refused():
    with pytest.raises(ValueError, match="built for num_prompts=1, got 2"):
        CostAggregator(**TINY)(*inputs(3, prompts=2))


def test_chunks_of_no_class_are_refused():
    with pytest.raises(ValueError, match="class_chunk_size must be at least 1"):
        CostAggregator(**TINY, class_chunk_size=0)


def test_cosines_do_not_depend_on_the_norm_and_stay_exact_under_autocast():
    dense, text, _ = inputs(3)
    expected = cosine_maps(dense, text)
    assert expected.abs().max() <= 1 + 1e-6
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(cosine_maps(17 * dense, text), expected)


@pytest.mark.parametrize(
    ("embed_dim", "appearance", "text", "total"), [(512, 589_952, 65_664, 2_308_961), (768, 884_864, 98_432, 2_636_641)]
)
def test_parameters_of_the_published_sizes(embed_dim, appearance, text, total):
    with torch.device("meta"):
        model = CostAggregator(embed_dim)
    parts = (model.cost_embedding, model.appearance_guidance, model.text_guidance, model.decoder_guidance, model.layers)
    sizes = [sum(p.numel() for p in part.parameters()) for part in parts]
    assert sizes == [6_400, appearance, text, 92_208, 1_354_240]
    assert sum(p.numel() for p in model.parameters()) == total
