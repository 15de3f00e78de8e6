"""The base of all hooks that write targets into a batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.hooks import Hook
from torch import Tensor

from densevlm_mm.structures import RegionDataSample


class TargetHook(Hook):
    """Base of the hooks that write targets into the batch before every step, and say which.

    A class declares what it can write, an instance what it does write. :class:`TargetCheckHook` reads the declarations
    before the first step; the message about a missing target names the classes that declare it.

    Attributes:
        region_targets: Fields that it writes into ``sample.regions``, (R_i, ...). They follow from the image and the
            box alone, not from the other regions, so that (image id, cell id) addresses them.
        image_targets: Fields that it writes into the data sample itself; tensors of one shape for all images.
    """

    region_targets: tuple[str, ...] = ()
    image_targets: tuple[str, ...] = ()

    def write_region_targets(self, data_samples: Sequence[RegionDataSample], targets: Mapping[str, Tensor]) -> None:
        """Write targets of all regions of a batch.

        Args:
            data_samples: With ``regions``.
            targets: Name to (sum R_i, ...), in the order of the images.

        Raises:
            ValueError: If the names are not those that the hook declares.
        """
        self._check_names(targets, "region_targets")
        sizes = [len(sample.regions) for sample in data_samples]
        for name, values in targets.items():
            for sample, value in zip(data_samples, values.split(sizes), strict=True):
                sample.regions.set_field(value, name)

    def write_image_targets(self, data_samples: Sequence[RegionDataSample], targets: Mapping[str, Any]) -> None:
        """Write targets of all images of a batch.

        Args:
            data_samples: B samples.
            targets: Name to (B, ...), or to a list of B values.

        Raises:
            ValueError: If the names are not those that the hook declares.
        """
        self._check_names(targets, "image_targets")
        for name, values in targets.items():
            for sample, value in zip(data_samples, values, strict=True):
                sample.set_field(value, name)

    def _check_names(self, targets: Mapping[str, Any], kind: str) -> None:
        if set(targets) != set(getattr(self, kind)):
            raise ValueError(
                f"{type(self).__name__} computes {sorted(targets)} and declares {kind} = {tuple(getattr(self, kind))}: "
                "losses can only rely on what is declared."
            )
