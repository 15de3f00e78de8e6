import hashlib

import open_clip
import pytest
import torch
from torch import nn

from densevlm_mm.models.text import prompt_encoder
from densevlm_mm.models.text.prompt_encoder import encode_prompts, text_tower_fingerprint

PROMPTS = ["a cat.", "a photo of a very large brown dog in the scene.", "a cat.", "itap of my boat"]


@pytest.mark.parametrize("form", ["tiny_clip", "tiny_custom_text_clip"])
def test_equals_encode_text_over_the_whole_context(
    form: str, tokenizer: open_clip.SimpleTokenizer, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(form)
    with torch.no_grad():
        expected = model.encode_text(tokenizer(PROMPTS))
    expected = expected / expected.norm(dim=-1, keepdim=True)
    features = encode_prompts(model, tokenizer, PROMPTS)
    assert features.dtype == torch.float32
    torch.testing.assert_close(features, expected, atol=2e-6, rtol=0)
    # The model is left as it was.
    assert getattr(model, "text", model).attn_mask.shape == (77, 77)
    assert (expected[0] - expected[1]).abs().max() > 1e-2


def test_batch_size_does_not_matter(tiny_clip: nn.Module, tokenizer: open_clip.SimpleTokenizer) -> None:
    whole = encode_prompts(tiny_clip, tokenizer, PROMPTS, batch_size=256)
    single = encode_prompts(tiny_clip, tokenizer, PROMPTS, batch_size=1)
    torch.testing.assert_close(whole, single, atol=1e-6, rtol=0)


def test_a_distinct_prompt_is_encoded_once(tiny_clip: nn.Module, tokenizer: open_clip.SimpleTokenizer) -> None:
    rows = []
    tiny_clip.ln_final.register_forward_hook(lambda module, inputs, output: rows.append(len(output)))
    features = encode_prompts(tiny_clip, tokenizer, PROMPTS, batch_size=2)
    assert sum(rows) == 3
    assert torch.equal(features[0], features[2])


def test_a_tower_without_causal_mask_keeps_its_context(tokenizer: open_clip.SimpleTokenizer) -> None:
    torch.manual_seed(0)
    model = open_clip.model.CLIP(
        24,
        {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
        {"width": 32, "heads": 2, "layers": 1, "no_causal_mask": True},
    ).eval()
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.encode_text(tokenizer(PROMPTS)), dim=-1)
    torch.testing.assert_close(encode_prompts(model, tokenizer, PROMPTS), expected, atol=1e-6, rtol=0)


def test_training_flag_and_autograd_are_untouched(tiny_clip: nn.Module, tokenizer: open_clip.SimpleTokenizer) -> None:
    tiny_clip.train()
    features = encode_prompts(tiny_clip, tokenizer, PROMPTS)
    assert tiny_clip.training
    assert not features.requires_grad
    torch.nn.Linear(24, 1)(features).sum().backward()  # usable as a constant in autograd


def test_bfloat16_autocast_is_close(tiny_clip: nn.Module, tokenizer: open_clip.SimpleTokenizer) -> None:
    exact = encode_prompts(tiny_clip, tokenizer, PROMPTS)
    rough = encode_prompts(tiny_clip, tokenizer, PROMPTS, autocast_dtype=torch.bfloat16)
    assert rough.dtype == torch.float32
    assert ((exact * rough).sum(-1) > 0.99).all()
    assert not torch.equal(exact, rough)


def test_a_foreign_tokenizer_is_refused(tokenizer: open_clip.SimpleTokenizer) -> None:
    model = open_clip.model.CLIP(
        24,
        {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
        {"width": 32, "heads": 2, "layers": 1, "vocab_size": 600},
    )
    with pytest.raises(ValueError, match=r"token id 49407 .* vocabulary of 600"):
        encode_prompts(model, tokenizer, PROMPTS)


def test_broken_weights_are_noticed(tiny_clip: nn.Module, tokenizer: open_clip.SimpleTokenizer) -> None:
    tiny_clip.ln_final.weight.data[0] = float("nan")
    with pytest.raises(ValueError, match="not finite"):
        encode_prompts(tiny_clip, tokenizer, PROMPTS)


def test_wrong_arguments(tiny_clip: nn.Module, tokenizer: open_clip.SimpleTokenizer) -> None:
    with pytest.raises(ValueError, match="no prompts"):
        encode_prompts(tiny_clip, tokenizer, [])
    with pytest.raises(ValueError, match="batch_size=0"):
        encode_prompts(tiny_clip, tokenizer, PROMPTS, batch_size=0)


def test_only_prompts_that_are_cut_are_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    messages: list[str] = []
    monkeypatch.setattr(prompt_encoder, "print_log", lambda message, **_: messages.append(message))
    tokenizer = open_clip.SimpleTokenizer(context_length=6)
    prompt_encoder.tokenize(tokenizer, ["a big red cat"])  # 4 words and 2 special tokens: just fits
    assert not messages
    prompt_encoder.tokenize(tokenizer, ["a cat", "a big red and white cat"])
    assert "1 of 2 prompts" in messages[0]
    assert "'a big red and white cat'" in messages[0]


def test_fingerprint_sees_the_text_tower_and_nothing_else(tiny_clip: nn.Module) -> None:
    before = text_tower_fingerprint(tiny_clip)
    assert len(before) == len(hashlib.sha256().hexdigest())
    tiny_clip.visual.conv1.weight.data += 1
    tiny_clip.logit_scale.data += 1
    assert text_tower_fingerprint(tiny_clip) == before
    tiny_clip.ln_final.bias.data[3] += 1e-7
    assert text_tower_fingerprint(tiny_clip) != before


def test_fingerprint_sees_the_type(tiny_clip: nn.Module) -> None:
    before = text_tower_fingerprint(tiny_clip)
    assert text_tower_fingerprint(tiny_clip.bfloat16()) != before
