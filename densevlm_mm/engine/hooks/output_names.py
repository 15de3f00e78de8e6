"""Every evaluated image gets the name of its results."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement

from densevlm_mm.output_names import common_root, output_names
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class OutputNameHook(Hook):
    """Write ``output_name`` into the meta information of validated and tested images; see :func:`output_names`.

    Names follow the path below the data set's folder of images (``data_prefix``). Pictures, label maps and records are
    named by them, in every process the same, whatever data set, pipeline and model there are.
    """

    def __init__(self) -> None:
        self._names: dict[int, dict[str, str]] = {}

    def before_val_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Name the images of a validation batch."""
        self._name(runner.val_dataloader.dataset, data_batch)

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Name the images of a test batch."""
        self._name(runner.test_dataloader.dataset, data_batch)

    def _name(self, dataset: Any, data_batch: Any) -> None:
        if not isinstance(data_batch, dict):
            return
        if id(dataset) not in self._names:
            self._names[id(dataset)] = dataset_output_names(dataset)
        names = self._names[id(dataset)]
        for sample in _elements(data_batch.get("data_samples")):
            name = names.get(str(sample.get("img_path", None)))
            if name is not None:
                sample.set_metainfo(dict(output_name=name))


def dataset_output_names(dataset: Any) -> dict[str, str]:
    """Names of the results of all images of a data set, by ``img_path``; none for one that does not list its images.

    They follow ``rel_path`` of an image's data, if it has that, or else ``img_path`` below the folder of images.
    """
    parts = list(_listing_parts(dataset))
    folders = list(dict.fromkeys(_image_folder(part) for part in parts))
    root = folders[0] if len(folders) == 1 else common_root(folders)
    infos = [part.get_data_info(index) for part in parts for index in range(len(part))]
    named_after = {str(info["img_path"]): str(info.get("rel_path", info["img_path"])) for info in infos}
    return dict(zip(named_after, output_names(list(named_after.values()), root), strict=True))


def _listing_parts(dataset: Any) -> Iterator[Any]:
    """The data sets inside mmengine's wrappers and ours."""
    inner = getattr(dataset, "datasets", None) or [getattr(dataset, "dataset", None)]
    if inner[0] is not None:
        for part in inner:
            yield from _listing_parts(part)
    elif hasattr(dataset, "get_data_info"):
        yield dataset


def _image_folder(dataset: Any) -> str:
    prefix = getattr(dataset, "data_prefix", {})
    return prefix.get("img") or prefix.get("img_path") or getattr(dataset, "data_root", "") or ""


def _elements(samples: Any) -> Iterator[BaseDataElement]:
    """Data samples in lists of any depth: test-time augmentation has a list of views for each image."""
    if isinstance(samples, BaseDataElement):
        yield samples
    elif isinstance(samples, list | tuple):
        for each in samples:
            yield from _elements(each)
