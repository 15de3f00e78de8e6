"""F-ViT, the open-vocabulary detector over a frozen encoder (CLIPSelf, arXiv 2310.01403)."""

from typing import Any

from mmdet.models.detectors import TwoStageDetector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor

from densevlm_mm.models.open_vocabulary import check_finite_scores, embedding_facts, embedding_options
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.splits import novel_names, untrained_classes
from densevlm_mm.vocabulary.vocabulary import VocabularySource

# B images, D embedding size; h, w the grid of patches.


@MODELS.register_module()
class FViT(TwoStageDetector):
    """A Faster or Mask R-CNN over a :class:`DenseVLMBackbone`, for classes that are given as text.

    Only the backbone's adaptors, the neck and the heads train, unless the encoder is told to. In a test the backbone's
    dense map goes to the RoI head, which combines it with the detector's scores; the tower runs once an image.

    Args:
        **options: Those of mmdet's ``TwoStageDetector``; ``backbone`` is a ``densevlm_mm.DenseVLMBackbone`` and
            ``roi_head`` a :class:`FViTRoIHead`.

    Raises:
        ValueError: If the class embeddings are not those of the backbone's encoder.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        encoder = self.backbone.encoder
        self.roi_head.bbox_head.for_encoder(encoder.embed_dim, encoder.model_name)

    def training_classes(self) -> tuple[str, ...]:
        """Names of the classes that labels are places in, novel ones included; those of predictions too."""
        return self.roi_head.bbox_head.classes

    predicted_classes = training_classes

    def predicted_vocabulary(self) -> Vocabulary:
        """The classes with the names that they are prompted by, see :class:`SynonymTestLoop`."""
        return self.roi_head.bbox_head.vocabulary

    def vocabulary_facts(self) -> dict[str, Any]:
        """Say what the classes and their embeddings are, see :class:`OpenVocabularyModel`."""
        facts = embedding_facts(self.roi_head.bbox_head.class_embeddings)
        return {**facts, "num_classes": len(self.predicted_classes())}  # the last embedding is the background's

    @classmethod
    def use_vocabulary(cls, cfg: ConfigDict, vocabulary: VocabularySource) -> None:
        """Let a detector predict other classes, see :class:`OpenVocabularyModel`.

        The score ensemble takes the classes that the detector was trained on, by name in any spelling, as base and all
        others as novel.

        Raises:
            ValueError: If the config names a file of class embeddings, or nobody can tell whether the detector was
                trained on a name.
        """
        head = cfg.roi_head.bbox_head
        options = embedding_options(head.get("class_embeddings"), "model.roi_head.bbox_head.class_embeddings")
        wanted = Vocabulary.load(vocabulary)
        novel = novel_names(head.get("novel_classes", ()))
        head.novel_classes = untrained_classes(wanted, Vocabulary.load(options.vocabulary), novel)
        head.num_classes = len(wanted)
        options.vocabulary = vocabulary

    def set_vocabulary(self, vocabulary: VocabularySource) -> None:
        """Detect other classes from now on, see :class:`OpenVocabularyModel` and :meth:`use_vocabulary`."""
        self.roi_head.bbox_head.set_vocabulary(vocabulary)

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the pyramid.

        Args:
            batch_inputs: Normalised images (B, 3, H, W).
        """
        return self._pyramid(self.backbone(batch_inputs))

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: list[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detect.

        Args:
            batch_inputs: Normalised images (B, 3, H, W).
            batch_data_samples: With the images' meta information; ``proposals``, if there, take the RPN's place.
            rescale: Return boxes and masks in the frame of the original image.

        Returns:
            The data samples with ``pred_instances``: ``bboxes``, ``scores``, ``labels``, the classes' ``label_names``,
            ``is_novel``, and ``masks`` where there is a mask head.

        Raises:
            ValueError: If features or scores of an image are not finite.
        """
        maps, dense = self.backbone.forward_with_dense(batch_inputs)
        x = self._pyramid(maps)
        for index, sample in enumerate(batch_data_samples):
            for level in (*x, dense):  # of NaN the RPN makes no proposal, and the image has nothing in it
                check_finite_scores(level[index], sample.get("img_path", None), "features")
        if batch_data_samples[0].get("proposals", None) is None:
            proposals = self.rpn_head.predict(x, batch_data_samples, rescale=False)
        else:
            proposals = [sample.proposals for sample in batch_data_samples]
        results = self.roi_head.predict(x, proposals, batch_data_samples, rescale=rescale, dense=dense.float())
        for result in results:
            self.roi_head.bbox_head.name_instances(result)
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _pyramid(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # Under autocast the maps have 8 or 11 bits, and mmdet's RoI extractors would round boxes to their type.
        return tuple(level.float() for level in (self.neck(maps) if self.with_neck else maps))
