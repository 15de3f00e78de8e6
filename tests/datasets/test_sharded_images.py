"""Images of shards as samples of a training."""

import copy
from itertools import chain
from pathlib import Path

import pytest
from mmengine.runner import Runner

from densevlm_mm.datasets import SeededDataset, ShardedImages
from densevlm_mm.datasets.image_files import UnreadableImageError
from densevlm_mm.datasets.shards import index_shards
from densevlm_mm.registry import DATASETS
from tests.fixtures.pipelines import PIPELINE
from tests.fixtures.shards import write_shards


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_shards(tmp_path, [5, 9, 4])
    index_shards([str(tmp_path / "*.tar")], tmp_path / "shards.json")
    return tmp_path


def make(root: Path, **kwargs) -> ShardedImages:
    cfg = dict(type="densevlm_mm.ShardedImages", source="shards.json", data_root=str(root), pipeline=PIPELINE)
    return DATASETS.build({**cfg, **kwargs})


def damage(root: Path, number: int) -> str:
    """Spoil an image of a shard, whose size stays."""
    images = make(root)
    member = images.index.member(number)
    content = bytearray((root / member.shard).read_bytes())
    content[member.offset + 30 : member.offset + member.size - 20] = bytes(member.size - 50)
    (root / member.shard).write_bytes(content)
    return images.get_data_info(number)["img_path"]


def test_a_sample_is_the_image_of_its_place(root: Path) -> None:
    images = make(root)
    assert len(images) == 18
    for number in (0, 5, 17):
        sample = images[number]
        assert sample["inputs"].flatten()[0] == number
        assert sample["data_samples"].img_id.endswith(f".tar/sa_{number}.png")
    sample = images[5]["data_samples"]
    assert sample.img_path == str(root / "sa_000001.tar" / "sa_5.png")
    assert sample.image_key == f"sa_000001.tar/sa_5.png {images.index.member(5).size} 1700000000"
    assert len(make(root, shards="sa_{000000,000002}.tar")) == 9


def test_shards_may_lie_elsewhere_and_must_be_there(root: Path) -> None:
    (root / "far").mkdir()
    for path in root.glob("*.tar"):
        path.rename(root / "far" / path.name)
    with pytest.raises(FileNotFoundError, match=r"3 of 3 shards .* do not exist: .*sa_000000\.tar"):
        make(root)
    images = make(root, data_prefix=dict(img="far"))
    assert images[17]["inputs"].flatten()[0] == 17


def test_a_damaged_member_stops_with_shard_and_name_or_is_counted(root: Path) -> None:
    path = damage(root, 6)
    with pytest.raises(UnreadableImageError, match=path):
        make(root)[6]
    images = make(root, on_error="skip", max_skipped=1)
    assert images[6] is None
    assert copy.deepcopy(images).skipped == [6]
    damage(root, 7)
    with pytest.raises(ValueError, match="2 unreadable images, more than max_skipped=1"):
        images[7]


def test_a_shard_that_vanishes_stops_the_run_whatever_the_policy(root: Path) -> None:
    images = make(root, on_error="skip")
    (root / "sa_000001.tar").unlink()
    with pytest.raises(ValueError, match=r"the shard .*sa_000001\.tar is gone"):
        images[6]
    assert images.skipped == []


def batches(root: Path, position: int, num_workers: int, **kwargs) -> list[list[str]]:
    """The images of each batch of epoch 1."""
    loader = Runner.build_dataloader(
        dict(
            dataset=SeededDataset(make(root, **kwargs)),
            batch_size=3,
            num_workers=num_workers,
            sampler=dict(type="densevlm_mm.ShardSampler", seed=0, num_streams=2),
            collate_fn=dict(type="skip_none_collate"),
        )
    )
    loader.sampler.set_epoch(1)
    loader.sampler.set_position(3 * position)
    return [[sample.img_id for sample in batch["data_samples"]] for batch in loader]


def test_workers_read_every_image_once_and_the_rest_of_an_epoch_does_not_depend_on_them(root: Path) -> None:
    whole = batches(root, 0, num_workers=2)
    assert sorted(chain(*whole)) == sorted(make(root).get_data_info(number)["img_id"] for number in range(18))
    for position, num_workers in ((2, 0), (4, 3)):
        assert batches(root, position, num_workers) == whole[position:]


def test_skipped_members_are_counted_over_all_workers(root: Path) -> None:
    for number in (1, 8):
        damage(root, number)
    images = make(root, on_error="skip")
    loader = Runner.build_dataloader(
        dict(
            dataset=images,
            batch_size=3,
            num_workers=2,
            sampler=dict(type="densevlm_mm.ShardSampler", seed=0),
            collate_fn=dict(type="skip_none_collate"),
        )
    )
    for _ in range(2):
        assert sum(len(batch["data_samples"]) for batch in loader) == 16
    assert loader.dataset.skipped == [1, 8]
