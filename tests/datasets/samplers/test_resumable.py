import pickle
from itertools import chain, pairwise

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from densevlm_mm.datasets import ResumableSampler, SampleIndex


class EpochSpy(Dataset):
    """Returns what a worker sees of the index."""

    def __len__(self):
        return 23

    def __getitem__(self, index):
        return int(index), index.epoch, index.seed


def sampler_of_rank(monkeypatch, rank, world_size, length=23, **kwargs):
    monkeypatch.setattr("densevlm_mm.datasets.samplers.resumable.get_dist_info", lambda: (rank, world_size))
    return ResumableSampler(range(length), seed=5, **kwargs)


def batches(sampler, batch_size, epoch):
    sampler.set_epoch(epoch)
    indices = list(map(int, sampler))
    return [indices[i : i + batch_size] for i in range(0, len(indices) - batch_size + 1, batch_size)]


@pytest.mark.parametrize("length", [23, 24, 25])
@pytest.mark.parametrize("shuffle", [True, False])
def test_batches_are_the_same_sets_for_any_number_of_processes(monkeypatch, length, shuffle):
    one = batches(sampler_of_rank(monkeypatch, 0, 1, length, shuffle=shuffle), 6, epoch=3)
    for world_size in (2, 3):
        ranks = [
            batches(sampler_of_rank(monkeypatch, rank, world_size, length, shuffle=shuffle), 6 // world_size, epoch=3)
            for rank in range(world_size)
        ]
        assert [sorted(chain(*parts)) for parts in zip(*ranks, strict=True)] == [sorted(batch) for batch in one]


def test_every_sample_comes_once_and_epochs_and_seeds_differ():
    sampler = ResumableSampler(range(50), seed=0)
    orders = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        orders.append(list(map(int, sampler)))
        assert sorted(orders[-1]) == list(range(50))
    sampler = ResumableSampler(range(50), seed=1)  # seed 1, epoch 0 must not repeat seed 0, epoch 1
    orders.append(list(map(int, sampler)))
    assert len({tuple(order) for order in orders}) == 4


def test_order_never_changes_between_versions():
    order = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([5, 2]))).permutation(7)
    sampler = ResumableSampler(range(7), seed=5)
    sampler.set_epoch(2)
    assert list(sampler) == order.tolist() == [2, 1, 3, 5, 0, 6, 4]


def test_position_skips_once_and_is_forgotten_in_another_epoch():
    sampler = ResumableSampler(range(10), seed=0)
    sampler.set_epoch(4)
    whole = list(sampler)
    sampler.set_position(6)
    sampler.set_epoch(4)  # mmengine's hook does this before the epoch that is resumed
    assert len(sampler) == 10
    assert list(sampler) == whole[6:]
    assert list(sampler) == whole
    sampler.set_position(6)
    sampler.set_epoch(5)
    assert len(list(sampler)) == 10
    sampler.set_position(10)
    assert list(sampler) == []


@pytest.mark.parametrize("position", [-1, 11])
def test_position_outside_the_epoch_is_an_error(position):
    with pytest.raises(ValueError, match=f"position {position} is outside the epoch of 10"):
        ResumableSampler(range(10), seed=0).set_position(position)


def test_fewer_samples_than_processes_is_an_error(monkeypatch):
    with pytest.raises(ValueError, match="2 samples cannot be shared by 3 processes"):
        sampler_of_rank(monkeypatch, 0, 3, length=2)


def test_sample_index_is_an_int_that_survives_pickling():
    index = pickle.loads(pickle.dumps(SampleIndex(3, epoch=2, seed=9)))
    assert (index, index.epoch, index.seed) == (3, 2, 9)
    assert [10, 11, 12, 13][index] == 13


def test_persistent_workers_hear_of_the_epoch():
    sampler = ResumableSampler(EpochSpy(), seed=5)
    loader = DataLoader(
        EpochSpy(),
        batch_size=4,
        sampler=sampler,
        num_workers=2,
        persistent_workers=True,
        collate_fn=list,
        drop_last=True,
    )
    for epoch in (0, 1):
        sampler.set_epoch(epoch)
        seen = [item for batch in loader for item in batch]
        assert seen == [(int(index), epoch, 5) for index in sampler][:20]
    sampler.set_position(8)
    assert [item for batch in loader for item in batch] == seen[8:]


def test_built_by_the_runner_with_its_seed():
    config = dict(dataset=EpochSpy(), sampler=dict(type="densevlm_mm.ResumableSampler"), batch_size=2, num_workers=0)
    loader = Runner.build_dataloader(config, seed=11)
    assert loader.sampler.seed == 11
    drawn = Runner.build_dataloader(config, seed=None).sampler.seed
    assert isinstance(drawn, int)
    indices = [int(index) for index in loader.sampler]
    assert list(next(iter(loader))[0]) == indices[:2]


def test_not_shuffled_is_in_order():
    indices = list(ResumableSampler(range(5), shuffle=False, seed=0))
    assert all(b == a + 1 for a, b in pairwise(indices))
    assert torch.arange(5)[indices].tolist() == indices


def test_shard_leaves_the_rest_to_nobody() -> None:
    whole = [int(i) for i in ResumableSampler(range(11), seed=1)]
    parts = [[int(i) for i in ResumableSampler(range(11), seed=1, shard=(k, 4))] for k in range(4)]
    assert parts == [whole[k::4] for k in range(4)]
    assert [len(ResumableSampler(range(11), seed=1, shard=(k, 4))) for k in range(4)] == [3, 3, 3, 2]
    for shard in ((4, 4), (-1, 2), (0, 0)):
        with pytest.raises(ValueError, match="shard"):
            ResumableSampler(range(11), shard=shard)
