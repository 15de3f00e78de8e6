import torch

from densevlm_mm.models.layers import text_similarity


def test_matches_torchs_cosine_for_unit_text() -> None:
    features, text = torch.randn(3, 8) * 5, torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    expected = torch.nn.functional.cosine_similarity(features[:, None], text[None], dim=-1)
    torch.testing.assert_close(text_similarity(features, text), expected)


def test_norm_of_the_text_scales_its_column() -> None:
    features, text = torch.randn(3, 8), torch.randn(4, 8)
    torch.testing.assert_close(text_similarity(features, 0.9 * text), 0.9 * text_similarity(features, text))


def test_autocast_does_not_round_it() -> None:
    features, text = torch.randn(3, 8), torch.randn(4, 8)
    expected = text_similarity(features, text)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(text_similarity(features, text), expected)
