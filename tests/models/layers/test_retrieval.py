import math

import pytest
import torch

from densevlm_mm.models.layers import check_retrieval, retrieve


def test_matches_a_reference_in_plain_floats() -> None:
    similarities = torch.rand(5, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = retrieve(similarities, temperature=0.5, threshold=0.35)
    for region, row in enumerate(similarities.tolist()):
        total = sum(math.exp(value / 0.5) for value in row)
        probability, label = max((math.exp(value / 0.5) / total, k) for k, value in enumerate(row))
        assert found.labels[region] == label
        assert found.confidences[region].item() == pytest.approx(probability, rel=1e-5)
        assert found.kept[region] == (probability > 0.35)
    assert 0 < found.kept.sum() < 5


def test_threshold_is_strict_and_half_precision_is_widened() -> None:
    similarities = torch.tensor([[1.0, 1.0, 0.0]], dtype=torch.bfloat16)  # over 0.01: exactly one half
    assert retrieve(similarities).confidences.dtype == torch.float32
    assert not retrieve(similarities, threshold=0.5).kept
    assert retrieve(similarities, threshold=0.499).kept


@pytest.mark.parametrize(
    ("temperature", "threshold", "named"), [(0.0, 0.3, "0.0"), (0.1, 1.0, "1.0"), (0.1, -0.1, "-0.1")]
)
def test_impossible_settings_are_named(temperature: float, threshold: float, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        check_retrieval(temperature, threshold)
    with pytest.raises(ValueError, match=named):
        retrieve(torch.zeros(1, 2), temperature, threshold)
