"""The order of images in shards."""

from collections import defaultdict
from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest

from densevlm_mm.datasets import ShardSampler

LENGTHS = np.array([5, 9, 1, 7, 0, 8, 6, 8, 9, 4])
TOTAL = int(LENGTHS.sum())
SHARD_OF = np.repeat(np.arange(len(LENGTHS)), LENGTHS)


class Images(SimpleNamespace):
    def __len__(self) -> int:
        return int(np.sum(self.shard_lengths))


def make(monkeypatch, rank=0, world_size=1, lengths=LENGTHS, **kwargs) -> ShardSampler:
    monkeypatch.setattr("densevlm_mm.datasets.samplers.resumable.get_dist_info", lambda: (rank, world_size))
    images = Images(shard_lengths=np.array(lengths))
    return ShardSampler(images, **{"seed": 3, "num_streams": 4, **kwargs})


def order_of(sampler: ShardSampler, epoch: int = 0, position: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    sampler.set_position(position)
    return list(map(int, sampler))


@pytest.mark.parametrize("num_streams", [1, 3, 4, 64])
def test_every_image_comes_once_and_epochs_differ(monkeypatch, num_streams) -> None:
    orders = [order_of(make(monkeypatch, num_streams=num_streams), epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(TOTAL)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert order_of(make(monkeypatch, shuffle=False)) == list(range(TOTAL))


@pytest.mark.parametrize("num_streams", [1, 4, 5])
def test_batches_are_the_same_sets_for_any_number_of_processes(monkeypatch, num_streams) -> None:
    one = order_of(make(monkeypatch, num_streams=num_streams), epoch=2)
    for world_size in (2, 3):
        ranks = [order_of(make(monkeypatch, r, world_size, num_streams=num_streams), 2) for r in range(world_size)]
        together = list(chain(*zip(*ranks, strict=True)))
        assert together == one[: len(together)]


@pytest.mark.parametrize("position", [0, 1, 17, TOTAL])
def test_an_epoch_goes_on_at_any_position(monkeypatch, position) -> None:
    sampler = make(monkeypatch)
    assert order_of(sampler, 1, position) == order_of(make(monkeypatch), 1)[position:]


def test_a_stream_reads_one_shard_after_the_other_in_an_order_of_its_own(monkeypatch) -> None:
    lengths = [40] * 8
    order = np.array(order_of(make(monkeypatch, lengths=lengths)))
    for stream in range(4):
        shards = order[stream::4] // 40
        assert np.count_nonzero(np.diff(shards)) == 1  # two shards, one after the other
    assert len(set(order[:4] // 40)) == 4  # neighbours are of different shards
    within = order[order // 40 == 0].tolist()
    assert within != sorted(within)


def test_a_shard_is_read_by_one_process(monkeypatch) -> None:
    readers = defaultdict(set)
    for rank in range(2):
        for index in order_of(make(monkeypatch, rank, 2, lengths=[30] * 12)):
            readers[index // 30].add(rank)
    assert {len(ranks) for ranks in readers.values()} == {1}


def test_memory_does_not_grow_with_the_images(monkeypatch) -> None:
    sampler = make(monkeypatch, lengths=[10_000] * 100_000)  # a thousand million images
    sampler.set_position(999_999_990)
    assert len(set(sampler)) == 10


def test_what_the_order_depends_on_is_said(monkeypatch) -> None:
    facts = {make(monkeypatch, num_streams=n).order_facts for n in (4, 5)}
    assert len(facts) == 2
    with pytest.raises(ValueError, match="num_streams must be at least 1"):
        make(monkeypatch, num_streams=0)
    with pytest.raises(ValueError, match="range has no shards"):
        ShardSampler(range(4), seed=0)
