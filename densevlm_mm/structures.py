"""The data element that travels from the datasets through the model to the metric."""

from mmengine.structures import BaseDataElement, InstanceData

# What the datasets and transforms of this package put into a sample; a loss may ask for it without a hook.
META_KEYS = ("img_id", "img_path", "sample_idx", "ori_shape", "img_shape", "pad_shape", "scale_factor")
# Of the data sets whose images are no files: what a teacher cache calls an image.
OPTIONAL_META_KEYS = ("image_key",)
REGION_KEYS = ("boxes_norm_xyxy", "cell_ids", "category_labels")


class RegionDataSample(BaseDataElement):
    """Regions of one image: what the pretrainer trains on, and what region classification is scored on.

    Letters: R training regions, N annotated regions, K classes of the evaluation vocabulary, ``h, w`` the feature grid,
    S the side of the padded canvas. All boxes are ``x1, y1, x2, y2`` as fractions of the padded canvas.

    Metainfo written by :class:`~densevlm_mm.datasets.transforms.PackRegionInputs`: ``img_id``, ``img_path``,
    ``sample_idx``, ``ori_shape`` (h, w) of the file, ``img_shape`` (h, w) after resizing and before padding,
    ``pad_shape`` (S, S), ``scale_factor`` (width, height).

    Attributes:
        regions: Training regions; ``boxes_norm_xyxy`` (R, 4) float32, ``cell_ids`` (R,) int64, which address a region
            of the image; ``category_labels`` (R,) int64 for regions that came with categories. Hooks add their
            targets of regions here, (R, ...), and their targets of images to the sample itself. As long as images are
            not augmented, (``img_id``, cell id) addresses a region's targets.
        gt_regions: Annotated regions; ``labels`` (N,) int64, ``is_thing`` (N,) bool, ``boxes_norm_xyxy`` (N, 4)
            float32, ``masks`` (N, h, w) bool.
        segment_map: Annotated segment of each cell, (h, w) int64; -1 for void and padding.
        coherence_auc: Scalar, written by the model where there is a ``segment_map``; see
            :func:`densevlm_mm.models.layers.coherence_auc`.
        pred_regions: Scores of the annotated regions, written by the model; ``box_scores`` and ``mask_scores``
            (N, K) float32 cosines.
        compared_regions: The same over a second vocabulary, see :meth:`RegionPretrainer.compare_vocabulary`.
    """

    _regions: InstanceData
    _gt_regions: InstanceData
    _pred_regions: InstanceData

    @property
    def regions(self) -> InstanceData:
        """Training regions."""
        return self._regions

    @regions.setter
    def regions(self, value: InstanceData) -> None:
        self.set_field(value, "_regions", dtype=InstanceData)

    @regions.deleter
    def regions(self) -> None:
        del self._regions

    @property
    def gt_regions(self) -> InstanceData:
        """Annotated regions."""
        return self._gt_regions

    @gt_regions.setter
    def gt_regions(self, value: InstanceData) -> None:
        self.set_field(value, "_gt_regions", dtype=InstanceData)

    @gt_regions.deleter
    def gt_regions(self) -> None:
        del self._gt_regions

    @property
    def pred_regions(self) -> InstanceData:
        """Class scores of the annotated regions."""
        return self._pred_regions

    @pred_regions.setter
    def pred_regions(self, value: InstanceData) -> None:
        self.set_field(value, "_pred_regions", dtype=InstanceData)

    @pred_regions.deleter
    def pred_regions(self) -> None:
        del self._pred_regions
