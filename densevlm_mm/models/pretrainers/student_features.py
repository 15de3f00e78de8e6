"""What a loss can ask for of the student."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor
from torchvision.ops import roi_align

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.layers import boxes_to_rois, pool_boxes
from densevlm_mm.models.pretrainers.targets import collect_target
from densevlm_mm.structures import RegionDataSample

# B images, R regions, L tokens a region, D channels, n the student's native side.


class StudentFeatures:
    """The student's features of one batch, each computed when it is first asked for, once.

    A feature of your own is a property of a subclass that a subclass of :class:`RegionPretrainer` names as its
    ``features_class``.

    Args:
        encoder: The student.
        images: Normalised canvases (B, 3, S, S).
        data_samples: One per image.
        token_size: Side of the grid of tokens of a region, L = token_size ** 2.
    """

    names: tuple[str, ...] = ("regions", "region_tokens", "dense", "views")
    # Targets that a feature cannot be computed without.
    needs: dict[str, tuple[str, ...]] = {"views": ("view_norm_xyxy",)}

    def __init__(
        self, encoder: DenseImageEncoder, images: Tensor, data_samples: Sequence[RegionDataSample], token_size: int
    ) -> None:
        self.encoder = encoder
        self.images = images
        self.data_samples = data_samples
        self.token_size = token_size

    @cached_property
    def _boxes(self) -> list[Tensor]:
        return [sample.regions.boxes_norm_xyxy for sample in self.data_samples]

    @cached_property
    def dense(self) -> Tensor:
        """Dense maps (B, D, h, w), unit norm at every position."""
        return self.encoder.dense(self.images)

    @cached_property
    def regions(self) -> Tensor:
        """One feature a region (R, D), not normalised."""
        return pool_boxes(self.dense, self._boxes)

    @cached_property
    def region_tokens(self) -> Tensor:
        """A grid of features a region (R, L, D), row by row, not normalised."""
        return pool_boxes(self.dense, self._boxes, self.token_size).flatten(2).transpose(1, 2)

    @cached_property
    def views(self) -> Tensor:
        """Global embedding (B, D) of the view ``sample.view_norm_xyxy`` of each image, at the student's native size."""
        boxes_B4 = collect_target("view_norm_xyxy", self.data_samples)
        rois = boxes_to_rois(boxes_B4.split(1), self.images.shape[-2:], self.images.device)
        views = roi_align(self.images, rois, self.encoder.image_size, sampling_ratio=-1, aligned=True)
        return self.encoder(views)
