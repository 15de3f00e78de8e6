"""The base of teachers that say something of whole images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from densevlm_mm.engine.hooks.teacher import TeacherHook
from densevlm_mm.structures import RegionDataSample


class ImageTeacherHook(TeacherHook):
    """Base of the hooks whose teacher computes targets of images; see :class:`TeacherHook` for the arguments."""

    def write_targets(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> None:
        """Write ``image_targets`` into the data samples."""
        self.write_image_targets(data_samples, self.compute_targets(images, data_samples))

    @abstractmethod
    def compute_targets(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> dict[str, Any]:
        """Compute the targets of all images of a batch.

        Args:
            images: RGB canvases (B, 3, S, S), float32 in 0-255, for ``self.teacher.normalize``.
            data_samples: B samples, for what is known of the images (``img_shape``, ``img_id``).

        Returns:
            Name of the target to tensor (B, ...), or to a list of B values.
        """
