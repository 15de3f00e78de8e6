"""The RoI head of F-ViT: in a test, the frozen encoder has a say in the scores."""

from typing import Any

from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.utils import empty_instances
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor

from densevlm_mm.models.open_vocabulary import check_finite_scores

# R regions, D channels; h, w the grid of patches.


@MODELS.register_module()
class FViTRoIHead(StandardRoIHead):
    """Mmdet's RoI head, whose box scores are in a test those of :meth:`CosineBBoxHead.ensemble`.

    Training is inherited and knows no dense map.

    Args:
        vlm_roi_extractor: Extractor with one level and a 1x1 output for the dense map of the encoder.
        **options: Those of mmdet's ``StandardRoIHead``; ``bbox_head`` is a :class:`CosineBBoxHead`.

    Raises:
        ValueError: If the extractor's output is none that the box head can compare with its class embeddings.

    Example:
        >>> vlm_roi_extractor = dict(type='SingleRoIExtractor', out_channels=512, featmap_strides=[16],
        ...     roi_layer=dict(type='RoIAlign', output_size=1, sampling_ratio=0))
    """

    def __init__(self, vlm_roi_extractor: dict, **options: Any) -> None:
        super().__init__(**options)
        self.vlm_roi_extractor = MODELS.build(vlm_roi_extractor)
        expected = (self.bbox_head.cls_last_dim, 1, (1, 1))  # which is the dimension of its class embeddings
        layers = self.vlm_roi_extractor.roi_layers
        found = (self.vlm_roi_extractor.out_channels, len(layers), tuple(layers[0].output_size))
        if found != expected:
            raise ValueError(
                f"vlm_roi_extractor must have out_channels={expected[0]}, one of featmap_strides and output_size=1; "
                f"it has {found[0]}, {found[1]} and {found[2]}."
            )

    def predict(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: list[DetDataSample],
        rescale: bool = False,
        *,
        dense: Tensor,
    ) -> list[InstanceData]:
        """Detect.

        Args:
            x: Pyramid.
            rpn_results_list: Proposals of each image.
            batch_data_samples: With the images' meta information.
            rescale: Return boxes and masks in the frame of the original image.
            dense: The encoder's dense map (B, D, h, w).

        Returns:
            ``bboxes``, ``scores``, ``labels``, and ``masks`` where there is a mask head, of each image.
        """
        metas = [sample.metainfo for sample in batch_data_samples]
        # A mask head brings boxes and masks to the original frame together.
        results = self.predict_bbox(
            x, metas, rpn_results_list, self.test_cfg, rescale=rescale and not self.with_mask, dense=dense
        )
        return self.predict_mask(x, metas, results, rescale=rescale) if self.with_mask else results

    def predict_bbox(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        rpn_results_list: list[InstanceData],
        rcnn_test_cfg: ConfigDict,
        rescale: bool = False,
        *,
        dense: Tensor,
    ) -> list[InstanceData]:
        """Detect boxes. Arguments as in :meth:`predict`."""
        proposals = [result.bboxes for result in rpn_results_list]
        sizes = [len(boxes) for boxes in proposals]
        rois = bbox2roi(proposals)
        if len(rois) == 0:
            return empty_instances(
                batch_img_metas,
                rois.device,
                task_type="bbox",
                num_classes=self.bbox_head.num_classes,
                score_per_cls=rcnn_test_cfg is None,
            )
        results = self._bbox_forward(x, rois)
        vlm_RD = self.vlm_roi_extractor((dense,), rois).flatten(1)
        scores = self.bbox_head.ensemble(results["cls_score"], vlm_RD).split(sizes)
        for scores_RK, meta in zip(scores, batch_img_metas, strict=True):
            check_finite_scores(scores_RK, meta.get("img_path"))  # before NMS, which drops NaN in silence
        return self.bbox_head.predict_by_feat(
            rois=rois.split(sizes),
            cls_scores=scores,
            bbox_preds=results["bbox_pred"].split(sizes),
            batch_img_metas=batch_img_metas,
            rcnn_test_cfg=rcnn_test_cfg,
            rescale=rescale,
        )
