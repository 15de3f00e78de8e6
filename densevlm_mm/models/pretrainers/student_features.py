"""What a loss can ask for of the student."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.layers import cut_views, has_view, pool_boxes
from densevlm_mm.models.pretrainers.targets import collect_target
from densevlm_mm.structures import RegionDataSample

# B images, R regions, L tokens a region, D channels.


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
        """Global embedding (B, D) of the view ``sample.view_norm_xyxy`` of each image, at the student's native size.

        Zeros for an image without a view, which constrains nothing: to leave it out of the pass would change shapes.
        """
        boxes_B4 = collect_target("view_norm_xyxy", self.data_samples)
        embeddings_BD = self.encoder(cut_views(self.images, boxes_B4, self.encoder.native_size))
        return embeddings_BD.masked_fill(~has_view(boxes_B4)[:, None], 0)
