import torch
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader, Dataset

from densevlm_mm.analysis.prepared_batches import PreparedBatches, num_bytes


class CountedImages(Dataset):
    def __init__(self) -> None:
        self.num_read = 0

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> torch.Tensor:
        self.num_read += 1
        return torch.full((10,), index, dtype=torch.uint8)


def read_twice(prepared: PreparedBatches, key: str, images: CountedImages) -> int:
    batches = prepared.batches(key, lambda: DataLoader(images, batch_size=2))
    for _ in range(2):
        assert [batch[:, 0].tolist() for batch in batches] == [[0, 1], [2, 3]]
    return images.num_read


def test_images_that_fit_are_read_once() -> None:
    images = CountedImages()
    prepared = PreparedBatches(40)
    assert read_twice(prepared, "a", images) == 4
    assert read_twice(prepared, "a", images) == 4  # another sweep over the same data


def test_images_that_do_not_fit_are_read_in_every_pass() -> None:
    prepared = PreparedBatches(79)
    assert read_twice(prepared, "a", CountedImages()) == 4
    assert read_twice(prepared, "b", CountedImages()) == 8  # the first has taken the memory


def test_bytes_of_all_tensors_of_a_batch_count() -> None:
    sample = BaseDataElement(masks=torch.zeros(3, dtype=torch.bool), metainfo=dict(img_id=1))
    sample.regions = BaseDataElement(labels=torch.zeros(2, dtype=torch.int64))
    assert num_bytes(dict(inputs=[torch.zeros(5)], data_samples=[sample], path="a")) == 20 + 3 + 16
