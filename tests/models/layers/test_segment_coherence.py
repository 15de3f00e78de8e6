import pytest
import torch

from densevlm_mm.models.layers import coherence_auc


def reference(dense: torch.Tensor, segments: torch.Tensor) -> float:
    """Every pair of a pair of one segment and a pair of two."""
    places = [(y, x) for y in range(segments.shape[0]) for x in range(segments.shape[1]) if segments[y, x] >= 0]
    same, different = [], []
    for a, (y, x) in enumerate(places):
        for v, u in places[:a]:
            cosine = float(torch.nn.functional.cosine_similarity(dense[:, y, x], dense[:, v, u], dim=0))
            (same if segments[y, x] == segments[v, u] else different).append(cosine)
    wins = sum((s > d) + 0.5 * (s == d) for s in same for d in different)
    return wins / (len(same) * len(different))


@pytest.mark.parametrize("seed", range(3))
def test_area_equals_a_count_of_all_pairs(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    segments = torch.randint(-1, 3, (5, 4), generator=generator)
    tied = torch.eye(3)[torch.randint(3, (5, 4), generator=generator)].permute(2, 0, 1)  # cosines of 0 and 1 alone
    for maps, error in ((torch.randn(6, 5, 4, generator=generator), 1e-3), (tied, 1e-6)):
        assert coherence_auc(maps, segments).item() == pytest.approx(reference(maps, segments), abs=error)


def test_reference_values() -> None:
    segments = torch.tensor([[0, 0, 1, 1], [0, 2, 2, 1], [-1, 2, 2, -1]])
    constant = torch.eye(4)[:, segments.clamp(min=0)]
    assert coherence_auc(constant, segments) == 1
    rounding = 1e-7 * torch.randn(4, 3, 4, generator=torch.Generator().manual_seed(1))
    assert coherence_auc(torch.ones(4, 3, 4) + rounding, segments) == 0.5
    noise = torch.randn(16, 24, 24, generator=torch.Generator().manual_seed(0))
    stripes = torch.arange(24)[:, None].expand(24, 24) // 6
    assert coherence_auc(noise, stripes).item() == pytest.approx(0.5, abs=0.01)


def test_what_is_not_labelled_does_not_count() -> None:
    segments = torch.tensor([[0, 0, 1, 1], [0, 2, 2, -1]])
    dense = torch.randn(5, 2, 4, generator=torch.Generator().manual_seed(0))
    changed = dense.clone()
    changed[:, 1, 3] = torch.nan
    assert torch.equal(coherence_auc(changed, segments), coherence_auc(dense, segments))


@pytest.mark.parametrize("segments", [[[0, 0], [0, 0]], [[0, 1], [2, 3]], [[-1, -1], [-1, -1]], [[0, -1], [-1, -1]]])
def test_without_pairs_of_both_kinds_it_is_not_defined(segments: list) -> None:
    assert coherence_auc(torch.randn(3, 2, 2), torch.tensor(segments)).isnan()


def test_another_grid_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"segments are on a \(2, 2\) grid and the dense map on \(3, 2\).*feature_stride"
    ):
        coherence_auc(torch.randn(3, 3, 2), torch.zeros(2, 2, dtype=torch.int64))
