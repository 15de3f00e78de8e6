"""The model that the runner trains: an encoder whose regions are aligned by a loss."""

from typing import Any, Literal

import torch
from mmengine.dist import all_reduce_dict
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from densevlm_mm.models.layers import coherence_auc, image_indices, pool_boxes, pool_masks, text_similarity
from densevlm_mm.models.losses import PretrainingLoss
from densevlm_mm.models.open_vocabulary import embedding_facts
from densevlm_mm.models.pretrainers.student_features import StudentFeatures
from densevlm_mm.models.pretrainers.targets import collect_target
from densevlm_mm.models.text import ClassEmbeddings, EmbeddingsConfig, LazyClassEmbeddings, complete_test_options
from densevlm_mm.registry import MODELS
from densevlm_mm.structures import RegionDataSample
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.vocabulary import VocabularySource

# B images, R regions, K categories, D channels.


@MODELS.register_module()
class RegionPretrainer(BaseModel):
    """Align the features of an encoder (the student, U-VLM) with targets that hooks put into the batch.

    The teacher is no part of this model: it belongs to a :class:`TeacherHook`, which writes its targets into the data
    samples before every step. The loss names the features and the targets that it wants, see :class:`PretrainingLoss`;
    that hooks write them is checked by :class:`TargetCheckHook` before the first step.

    Args:
        encoder: Config of a :class:`DenseImageEncoder`.
        loss: Config of a :class:`PretrainingLoss`.
        class_embeddings: Student embeddings of the training vocabulary, as :func:`resolve_class_embeddings` takes them.
            Needed by losses that contrast categories. They are made when a training needs them, not in a test.
        test_class_embeddings: Embeddings of the vocabulary that ``mode='predict'`` classifies into; keys that are
            missing are those of ``class_embeddings``. Default: the training ones.
        token_size: Side of the grid of tokens that a region is pooled to, for losses that ask for ``region_tokens``.
        data_preprocessor: Default: an ``ImgDataPreprocessor`` from BGR with the encoder's mean and standard deviation.
        init_cfg: Unused, for mmengine; the encoder loads its weights itself.

    Raises:
        ValueError: If the loss needs class embeddings and there are none; if it asks for features that there are not;
            or if ``token_size`` is not positive.
    """

    # What the loss can ask for beside targets; each is an attribute, or follows from the batch.
    model_inputs: tuple[str, ...] = ("text", "thing_mask", "step")
    batch_inputs: tuple[str, ...] = ("image_index", "num_images")
    features_class: type[StudentFeatures] = StudentFeatures

    def __init__(
        self,
        encoder: dict,
        loss: dict,
        class_embeddings: EmbeddingsConfig | None = None,
        test_class_embeddings: EmbeddingsConfig | None = None,
        token_size: int = 4,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        built_encoder = MODELS.build(encoder)
        if data_preprocessor is None:
            data_preprocessor = dict(
                type="ImgDataPreprocessor",
                mean=[255 * value for value in built_encoder.mean],
                std=[255 * value for value in built_encoder.std],
                bgr_to_rgb=True,
                non_blocking=True,
            )
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.encoder = built_encoder
        self.loss_module = MODELS.build(loss)
        self._check_loss(self.loss_module)
        if token_size < 1:
            raise ValueError(f"token_size is the side of a grid, got {token_size}.")
        self.token_size = token_size
        source = dict(model_name=encoder.get("model_name"), checkpoint=encoder.get("checkpoint"))
        if class_embeddings is None and "text" in self.loss_module.inputs:
            raise ValueError(
                f"{type(self.loss_module).__name__} contrasts categories: give model.class_embeddings, "
                "for example dict(vocabulary='set_316')."
            )
        self._training_classes = self._lazily(class_embeddings, source)
        self._test_classes = self._training_classes
        tested = complete_test_options(test_class_embeddings, class_embeddings)
        if tested != class_embeddings:
            self._test_classes = self._lazily(tested, source)
        self._compared_classes: LazyClassEmbeddings | None = None

    @property
    def step(self) -> int:
        """Number of the training iteration, as the runner counts it; 0 outside of a run."""
        return MessageHub.get_current_instance().get_info("iter") or 0

    def _lazily(self, embeddings: EmbeddingsConfig | None, source: dict) -> LazyClassEmbeddings | None:
        if embeddings is None:
            return None
        lazy = LazyClassEmbeddings(embeddings, **source)
        lazy.for_encoder(self.encoder.embed_dim, self.encoder.model_name)
        return lazy

    @property
    def class_embeddings(self) -> ClassEmbeddings | None:
        """Embeddings of the training vocabulary; the first use may encode them."""
        return None if self._training_classes is None else self._training_classes.resolve()

    @property
    def test_class_embeddings(self) -> ClassEmbeddings | None:
        """Embeddings of the test vocabulary; the first use may encode them."""
        return None if self._test_classes is None else self._test_classes.resolve()

    @property
    def text(self) -> Tensor:
        """Training embeddings (K, D), not normalised again.

        Raises:
            ValueError: If there is one class alone.
        """
        classes = self._training_classes
        assert classes is not None
        if len(classes) < 2:
            raise ValueError(
                f"vocabulary {classes.name!r} of model.class_embeddings has one class, {classes.classes[0]!r}: "
                f"{type(self.loss_module).__name__} contrasts categories and needs at least two."
            )
        return classes.text(self._device)

    @property
    def thing_mask(self) -> Tensor:
        """Thing flags (K,) bool of the training vocabulary."""
        assert self._training_classes is not None
        return self._training_classes.thing_mask(self._device)

    @property
    def test_text(self) -> Tensor:
        """Test embeddings (K, D) of unit norm.

        Raises:
            ValueError: If there is no test vocabulary.
        """
        if self._test_classes is None:
            raise ValueError(
                "model.test_class_embeddings is missing: it says which vocabulary regions are classified into."
            )
        return self._test_classes.unit_text(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def prepare_classes(self, training: bool) -> None:
        """Get what a training, or else a prediction, reads of the classes; see :class:`PrepareClassesHook`.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the classes are not what the loss or the encoder needs, or there is no test vocabulary.
        """
        if not training and self._compared_classes is not None:
            self._compared_classes.resolve()
        for name in {"text", "thing_mask"}.intersection(self.loss_module.inputs) if training else {"test_text"}:
            getattr(self, name)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[RegionDataSample] | None = None,
        mode: Literal["loss", "predict", "tensor"] = "tensor",
    ) -> Any:
        """Run one of the three modes of mmengine.

        Args:
            inputs: Normalised images (B, 3, S, S).
            data_samples: One per image; with ``regions`` for ``'loss'`` and ``gt_regions`` for ``'predict'``.
            mode: ``'loss'``, ``'predict'`` or ``'tensor'``.

        Returns:
            ``'loss'``: the loss module's dict. ``'predict'``: the data samples with ``pred_regions`` (``box_scores``
            and ``mask_scores``, cosines (N, K)), ``vocabulary_classes``, the names of the K classes, and
            ``coherence_auc`` of those that have a ``segment_map``. ``'tensor'``: the dense maps (B, D, h, w).
        """
        if mode == "tensor":
            return self.encoder.dense(inputs)
        if data_samples is None:
            raise ValueError(f"mode={mode!r} needs data_samples with regions.")
        if mode == "loss":
            return self.loss(inputs, data_samples)
        if mode == "predict":
            return self.predict(self.encoder.dense(inputs), data_samples)
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}.")

    def loss(self, images: Tensor, data_samples: list[RegionDataSample]) -> dict[str, Tensor]:
        """Compute the features and collect the targets that the loss asks for, and call it."""
        features = self.features_class(self.encoder, images, data_samples, self.token_size)
        inputs = {name: self._input(name, images, data_samples) for name in self.loss_module.inputs}
        return self.loss_module(*(getattr(features, name) for name in self.loss_module.features), **inputs)

    def _input(self, name: str, images: Tensor, data_samples: list[RegionDataSample]) -> Any:
        if name == "num_images":
            return len(images)
        if name == "image_index":
            return image_indices([len(sample.regions) for sample in data_samples], images.device)
        return getattr(self, name) if name in self.model_inputs else collect_target(name, data_samples)

    @property
    def wanted_targets(self) -> tuple[str, ...]:
        """Targets that the data samples must have for the loss and for the features that it asks for."""
        provided = {*self.model_inputs, *self.batch_inputs}
        needs = (name for feature in self.loss_module.features for name in self.features_class.needs.get(feature, ()))
        return tuple(dict.fromkeys(name for name in (*self.loss_module.inputs, *needs) if name not in provided))

    def _check_loss(self, loss: Any) -> None:
        if not isinstance(loss, PretrainingLoss):
            raise ValueError(
                f"{type(loss).__name__} does not say which features and targets it wants: derive it from "
                "PretrainingLoss, see docs/extending.md."
            )
        unknown = sorted(set(loss.features) - set(self.features_class.names))
        if unknown:
            raise ValueError(
                f"{type(loss).__name__} asks for the student feature {unknown[0]!r}; there are: "
                f"{', '.join(self.features_class.names)}."
            )

    def predict(self, dense: Tensor, data_samples: list[RegionDataSample]) -> list[RegionDataSample]:
        """Classify the annotated regions by their boxes and by their masks, and see how coherent the maps are."""
        regions = [sample.gt_regions for sample in data_samples]
        sizes = [len(r.labels) for r in regions]
        boxes_ND = pool_boxes(dense, [r.boxes_norm_xyxy for r in regions])
        masks_ND = pool_masks(dense, [r.masks for r in regions])
        for field, text_KD in self._compared_texts.items():
            box_scores = text_similarity(boxes_ND, text_KD).split(sizes)
            mask_scores = text_similarity(masks_ND, text_KD).split(sizes)
            for sample, box_scores_NK, mask_scores_NK in zip(data_samples, box_scores, mask_scores, strict=True):
                setattr(sample, field, InstanceData(box_scores=box_scores_NK, mask_scores=mask_scores_NK))
        for sample in data_samples:
            sample.set_metainfo(dict(vocabulary_classes=self.predicted_classes()))
        for sample, dense_DHW in zip(data_samples, dense, strict=True):
            if "segment_map" in sample:
                sample.coherence_auc = coherence_auc(dense_DHW, sample.segment_map)
        return data_samples

    def compare_vocabulary(self, vocabulary: VocabularySource | None) -> None:
        """Classify regions over a second vocabulary too, from the same features: ``compared_regions`` of the samples.

        Args:
            vocabulary: As `Vocabulary.load` takes it; prompts are those of the first one. None: no longer.

        Raises:
            ValueError: If there is no test vocabulary, or its embeddings come from a file, of which no others can be
                made.
        """
        if vocabulary is not None and self._test_classes is None:
            raise ValueError("model.test_class_embeddings is missing: there is no vocabulary to compare with.")
        known = self._test_classes
        self._compared_classes = None if vocabulary is None or known is None else known.with_vocabulary(vocabulary)

    @property
    def _compared_texts(self) -> dict[str, Tensor]:
        """Fields of the data samples to the unit text (K, D) of the vocabulary that they are over."""
        compared = self._compared_classes
        second = {} if compared is None else {"compared_regions": compared.unit_text(self._device)}
        return {"pred_regions": self.test_text, **second}

    def predicted_vocabulary(self) -> Vocabulary:
        """The test classes with the names that they are prompted by.

        Raises:
            ValueError: If there are none, or ready embeddings alone.
        """
        if self._test_classes is None:
            raise ValueError("model.test_class_embeddings is missing: there is no vocabulary to compare with.")
        return self._test_classes.vocabulary

    def predicted_classes(self) -> tuple[str, ...]:
        """Names of the classes that regions are classified into; none without a vocabulary."""
        return () if self._test_classes is None else self._test_classes.classes

    def vocabulary_facts(self) -> dict[str, Any] | None:
        """Say what regions are classified into, see :func:`embedding_facts`; None without a vocabulary."""
        return None if self.test_class_embeddings is None else embedding_facts(self.test_class_embeddings)

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum up the loss; log figures as means over processes, not as those of the first one."""
        loss, log_vars = super().parse_losses(losses)
        log_vars = {name: value.detach().clone() for name, value in log_vars.items()}
        all_reduce_dict(log_vars, op="mean")
        return loss, log_vars
