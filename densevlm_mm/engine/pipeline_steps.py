"""The transforms that a data loader's images go through."""

from collections.abc import Iterator
from typing import Any


def innermost_dataset(dataset: Any) -> Any:
    """The data set inside mmengine's wrappers and ours; of several side by side the first."""
    while True:
        if getattr(dataset, "dataset", None) is not None:
            dataset = dataset.dataset
        elif getattr(dataset, "datasets", None):
            dataset = dataset.datasets[0]
        else:
            return dataset


def pipeline_steps(dataset: Any) -> list[Any]:
    """Transforms of a data set, in their order; of test-time augmentation those of the first view."""
    return list(_steps(getattr(innermost_dataset(dataset), "pipeline", None)))


def _steps(transform: Any) -> Iterator[Any]:
    if views := getattr(transform, "subroutines", None):
        yield from _steps(views[0])
    elif inner := getattr(transform, "transforms", None):
        for each in inner:
            yield from _steps(each)
    elif transform is not None:
        yield transform
