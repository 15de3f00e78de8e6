import os

import pytest

from densevlm_mm.engine.teacher_cache.image_identity import ImageIdentity
from densevlm_mm.structures import RegionDataSample


def test_path_below_the_root_size_and_time_identify_an_image(tmp_path) -> None:
    for root in ("one", "two"):
        (tmp_path / root / "train").mkdir(parents=True)
        (tmp_path / root / "train/1.jpg").write_bytes(b"12345")
        os.utime(tmp_path / root / "train/1.jpg", ns=(0, 1_000_000_007))
    one, two = (
        ImageIdentity([str(tmp_path / root)]).of(str(tmp_path / root / "train/1.jpg")) for root in ("one", "two")
    )
    assert one == two == "file train/1.jpg 5 1000000007"  # the data may lie elsewhere
    path = str(tmp_path / "one/train/1.jpg")
    os.utime(path, ns=(0, 1_000_000_008))
    assert ImageIdentity([str(tmp_path / "one")]).of(path) not in (one, None)
    assert ImageIdentity(["/elsewhere", ""]).of(path).startswith(f"file {path} 5")
    assert ImageIdentity([str(tmp_path / "o")]).of(path).startswith(f"file {path} 5")  # "o" is no folder of it


def test_an_image_that_is_no_file_is_identified_by_its_data_set() -> None:
    identity = ImageIdentity()
    sample = RegionDataSample(metainfo=dict(img_path="shard.tar", image_key="sa_0.tar/7.jpg 123"))
    assert identity.of_sample(sample) == identity.of_info(dict(image_key="sa_0.tar/7.jpg 123"))
    assert identity.of_sample(sample) == "key sa_0.tar/7.jpg 123"


def test_what_cannot_be_identified_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"s3://bucket/1\.jpg is no local file"):
        ImageIdentity().of("s3://bucket/1.jpg")
    with pytest.raises(ValueError, match="img_path or image_key"):
        ImageIdentity().of_sample(RegionDataSample())
