"""Test-time augmentation of segmentors that predict scores.

Not imported by ``densevlm_mm.models``, since pretraining needs no mmseg. A segmentation config says
``custom_imports = dict(imports=['densevlm_mm.segmentation'])``.
"""

from mmengine.model import BaseTTAModel
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample


@MODELS.register_module()
class MeanScoreTTAModel(BaseTTAModel):
    """Average the scores of an image's augmented views, as they are.

    mmseg's ``SegTTAModel`` averages the softmax of ``seg_logits``, and asks the segmentor for ``out_channels``. What a
    segmentor puts there by :class:`~densevlm_mm.models.open_vocabulary.OpenVocabularyModel` are scores already, whose
    order the softmax would keep in each view but not in the mean. The scores of all views are in memory at once: 1.2 GB
    a view for 847 classes at 512 x 683 pixels.

    Args:
        module: The segmentor or its config.
        data_preprocessor: None takes the segmentor's.

    Example:
        >>> tta_model = dict(type='MeanScoreTTAModel')  # and --tta on the command line
    """

    def merge_preds(self, data_samples_list: list[list[SegDataSample]]) -> list[SegDataSample]:
        """Merge the views of each image.

        Args:
            data_samples_list: For each image the data samples of its views, with ``seg_logits`` (T, H, W) of the
                original image, flipped back.

        Returns:
            The first view's data samples, with the means in ``seg_logits`` and ``pred_sem_seg`` of them.

        Raises:
            ValueError: The segmentor gives no scores, or the views' have different sizes.
        """
        return [_merge(views) for views in data_samples_list]


def _merge(views: list[SegDataSample]) -> SegDataSample:
    path = views[0].metainfo.get("img_path")
    if not all("seg_logits" in view for view in views):
        raise ValueError(
            f"{path}: test-time augmentation needs seg_logits in the segmentor's predictions: set "
            "model.module.test_cfg.keep_scores=True if the segmentor leaves them out"
        )
    sizes = {tuple(view.seg_logits.data.shape) for view in views}
    if len(sizes) > 1:
        raise ValueError(
            f"{path}: views have scores of sizes {sorted(sizes)}: the segmentor must give them at ori_shape"
        )
    merged = views[0]
    scores = merged.seg_logits.data.clone()
    for view in views[1:]:
        scores += view.seg_logits.data
    scores /= len(views)
    merged.set_data(
        dict(seg_logits=PixelData(data=scores), pred_sem_seg=PixelData(data=scores.argmax(dim=0, keepdim=True)))
    )
    return merged
