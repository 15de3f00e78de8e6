import numpy as np
import pytest

from densevlm_mm.engine.teacher_cache import place_index
from densevlm_mm.engine.teacher_cache.place_index import PlaceIndex


@pytest.mark.parametrize("most_recent", [1, 7, 10_000])
def test_finds_all_places_of_a_hash_the_last_first(most_recent, monkeypatch) -> None:
    monkeypatch.setattr(place_index, "_MOST_RECENT", most_recent)
    rng = np.random.default_rng(0)
    index, reference = PlaceIndex(), {}
    hashes = rng.integers(0, 2**64, size=40, dtype=np.uint64, endpoint=False)
    for place in range(200):
        key = int(hashes[rng.integers(40)])
        if place % 10 == 0:
            index.extend(np.array([key], dtype=np.uint64), np.array([place], dtype=np.uint64))
        else:
            index.add(key, place)
        reference.setdefault(key, []).append(place)
    assert index.num_hashes() == len(reference)
    for key, places in reference.items():
        assert sorted(index.find(key)) == places
    if most_recent == 1:  # nothing waits in the dict, so that the order is that of adding
        assert all(index.find(key) == places[::-1] for key, places in reference.items())
    assert index.find(12345) == []
