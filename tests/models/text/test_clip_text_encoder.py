import copy

import open_clip
import pytest
import torch
from mmengine.hooks import EMAHook
from mmengine.model import ExponentialMovingAverage
from torch.nn.functional import normalize

from densevlm_mm.models.text import ClipTextEncoder
from densevlm_mm.models.text import clip_text_encoder as module

PROMPTS = (("a photo of a cat", "cat"), ("a photo of two very big dogs", "dog"), ("sky", "the sky"))


def config(custom_text: bool) -> dict:
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    vision = {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8}
    extra = {"custom_text": True} if custom_text else {}
    return {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text, **extra}


@pytest.fixture(params=[False, True], ids=["CLIP", "CustomTextCLIP"])
def encoder(request) -> ClipTextEncoder:
    torch.manual_seed(0)
    encoder = ClipTextEncoder(config(request.param), "random", trainable="query_value")
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return encoder


def expected(encoder: ClipTextEncoder) -> torch.Tensor:
    """open_clip's own text path with the whole context."""
    tokens = open_clip.SimpleTokenizer(context_length=16)([prompt for names in PROMPTS for prompt in names])
    with torch.no_grad():
        return normalize(encoder.clip.encode_text(tokens), dim=-1).reshape(3, 2, 8)


def test_embeds_every_prompt_of_every_class(encoder):
    torch.testing.assert_close(encoder(PROMPTS), expected(encoder), atol=2e-6, rtol=0)
    torch.testing.assert_close(encoder.cached(PROMPTS), expected(encoder), atol=2e-6, rtol=0)


def test_a_prompt_of_several_classes_is_encoded_once(encoder):
    rows = []
    norm = getattr(encoder.clip, "text", encoder.clip).ln_final
    norm.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    shared = (("a cat", "cat"), ("cat", "a cat"), ("a dog", "cat"))
    features = encoder(shared)
    assert rows == [3]
    assert torch.equal(features[0, 1], features[1, 0])
    apart = torch.stack([torch.stack([encoder(((prompt,),))[0, 0] for prompt in of_class]) for of_class in shared])
    torch.testing.assert_close(features, apart, atol=2e-6, rtol=0)


def test_trains_query_and_value_weights_of_all_blocks_and_nothing_else(encoder):
    prefix = "clip.text.transformer" if hasattr(encoder.clip, "text") else "clip.transformer"
    trained = {f"{prefix}.resblocks.{i}.attn.in_proj_weight_{part}" for i in range(2) for part in "qv"}
    direction = torch.randn(8, generator=torch.Generator().manual_seed(1))
    (encoder.train()(PROMPTS) @ direction).square().sum().backward()
    assert {name for name, p in encoder.named_parameters() if p.requires_grad} == trained
    assert {name for name, p in encoder.named_parameters() if p.grad is not None and p.grad.abs().max() > 0} == trained


def test_frozen_weights_survive_a_step_with_weight_decay(encoder):
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=0.1, weight_decay=0.5)
    encoder.train()(PROMPTS)[..., 0].sum().backward()
    optimizer.step()
    for name, parameter in encoder.named_parameters():
        assert torch.equal(parameter, before[name]) != parameter.requires_grad, name


def test_state_dict_has_open_clips_keys(encoder):
    stock = open_clip.CustomTextCLIP if hasattr(encoder.clip, "text") else open_clip.CLIP
    plain = stock(**{key: value for key, value in config(False).items()})
    keys = {f"clip.{key}" for key in plain.state_dict() if not key.startswith("visual.")}
    assert set(encoder.state_dict()) == keys


def count_runs(encoder: ClipTextEncoder, monkeypatch) -> list:
    runs = []
    original = module.encode_tokens
    monkeypatch.setattr(module, "encode_tokens", lambda *args: runs.append(1) or original(*args))
    return runs


def test_cache_runs_the_tower_once(encoder, monkeypatch):
    runs = count_runs(encoder, monkeypatch)
    encoder.eval()
    first = encoder.cached(PROMPTS)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert torch.equal(encoder.cached(tuple(PROMPTS)), first)
    assert len(runs) == 1
    assert not first.requires_grad
    assert not first.is_inference()


def test_cache_is_full_precision_under_autocast(encoder):
    with torch.autocast("cpu", torch.bfloat16):
        cached = encoder.cached(PROMPTS)
    torch.testing.assert_close(cached, expected(encoder), atol=2e-6, rtol=0)


def step(encoder):
    optimizer = torch.optim.AdamW([p for p in encoder.parameters() if p.requires_grad], lr=0.05)
    encoder(PROMPTS)[..., 0].sum().backward()
    optimizer.step()


def load(encoder):
    encoder.load_state_dict({name: value + 0.1 for name, value in encoder.state_dict().items()})


def exchange_like_ema(encoder):
    """mmengine's EMAHook writes through .data before a validation, whose loop then calls eval()."""
    hook = EMAHook()
    hook.src_model, hook.ema_model = encoder, ExponentialMovingAverage(encoder)
    load(hook.ema_model.module)
    hook._swap_ema_parameters()
    encoder.eval()


@pytest.mark.parametrize("change", [step, load, exchange_like_ema, lambda e: e.double().float().half().float()])
def test_cache_follows_the_weights(encoder, change):
    encoder.eval()
    before = encoder.cached(PROMPTS)
    change(encoder)
    after = encoder.cached(PROMPTS)
    torch.testing.assert_close(after, expected(encoder), atol=2e-6, rtol=0)
    assert not torch.equal(after, before)


def test_cache_follows_the_prompts(encoder):
    encoder.eval()
    encoder.cached(PROMPTS)
    torch.testing.assert_close(encoder.cached(PROMPTS[1:])[0], expected(encoder)[1], atol=2e-6, rtol=0)
    torch.testing.assert_close(encoder.cached(PROMPTS), expected(encoder), atol=2e-6, rtol=0)


def test_copies_have_their_own_cache(encoder):
    encoder.eval()
    encoder.cached(PROMPTS)
    twin = copy.deepcopy(encoder)
    load(twin)
    torch.testing.assert_close(twin.cached(PROMPTS), expected(twin), atol=2e-6, rtol=0)
    torch.testing.assert_close(encoder.cached(PROMPTS), expected(encoder), atol=2e-6, rtol=0)


def test_tower_stays_in_eval_mode_and_init_weights_keeps_the_weights(encoder):
    assert not encoder.train().clip.training
    before = expected(encoder)
    encoder.init_weights()
    torch.testing.assert_close(expected(encoder), before)


def test_uneven_prompts_are_refused(encoder):
    with pytest.raises(ValueError, match=r"same number of prompts, got \[1, 2\]"):
        encoder((("cat",), ("dog", "a dog")))


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="trainable must be one of"):
        ClipTextEncoder(config(False), "random", trainable="blocks")
    with pytest.raises(ValueError, match="init_cfg must be None"):
        ClipTextEncoder(config(False), "random", init_cfg={})
    with pytest.raises(ValueError, match="no checkpoint given"):
        ClipTextEncoder(config(False))


def test_frozen_tower_records_nothing():
    encoder = ClipTextEncoder(config(False), "random")
    assert not encoder(PROMPTS).requires_grad


def test_real_sizes_train_the_published_number_of_parameters():
    with torch.device("meta"):
        encoders = [ClipTextEncoder(f"{n}-quickgelu", "random", "query_value") for n in ("ViT-B-16", "ViT-L-14-336")]
    sizes = [sum(p.numel() for p in encoder.parameters() if p.requires_grad) for encoder in encoders]
    assert sizes == [6_291_456, 14_155_776]
