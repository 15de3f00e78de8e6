"""The model that the runner trains: an encoder whose regions are aligned by a loss."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce_dict
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import Tensor

from densevlm_mm.models.layers import pool_boxes, pool_masks, text_similarity
from densevlm_mm.models.text import ClassEmbeddings, resolve_class_embeddings
from densevlm_mm.registry import MODELS
from densevlm_mm.structures import RegionDataSample

# R regions, K categories, D channels.

_TARGETS = ("teacher_logits", "teacher_features", "labels")


@MODELS.register_module()
class RegionPretrainer(BaseModel):
    """Align the region features of an encoder (the student, U-VLM) with targets that a teacher hook put into the batch.

    The teacher is no part of this model: it belongs to a :class:`RegionTeacherHook`, which writes its targets into
    ``data_samples[i].regions`` before every step. The loss names what it needs in its ``inputs``.

    Args:
        encoder: Config of a :class:`DenseImageEncoder`.
        loss: Config of a region loss.
        class_embeddings: Student embeddings of the training vocabulary, as :func:`resolve_class_embeddings` takes them.
            Needed by losses that contrast categories.
        test_class_embeddings: Embeddings of the vocabulary that ``mode='predict'`` classifies into. Default: the
            training ones.
        data_preprocessor: Default: an ``ImgDataPreprocessor`` from BGR with the encoder's mean and standard deviation.
        init_cfg: Unused, for mmengine; the encoder loads its weights itself.

    Raises:
        ValueError: If the loss needs class embeddings and there are none, or only one.
    """

    def __init__(
        self,
        encoder: dict,
        loss: dict,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        test_class_embeddings: dict | str | ClassEmbeddings | None = None,
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
            )
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.encoder = built_encoder
        self.loss_module = MODELS.build(loss)
        source = dict(model_name=encoder.get("model_name"), checkpoint=encoder.get("checkpoint"))
        self.class_embeddings = self._resolve(class_embeddings, source)
        self.test_class_embeddings = self._resolve(test_class_embeddings, source) or self.class_embeddings
        if self.class_embeddings is None and "text" in self.loss_module.inputs:
            raise ValueError(
                f"{type(self.loss_module).__name__} contrasts categories: give model.class_embeddings, "
                "for example dict(vocabulary='set_316')."
            )
        if self.class_embeddings is not None and "text" in self.loss_module.inputs and len(self.class_embeddings) < 2:
            raise ValueError(
                f"vocabulary {self.class_embeddings.name!r} of model.class_embeddings has one class, "
                f"{self.class_embeddings.classes[0]!r}: {type(self.loss_module).__name__} contrasts categories and "
                "needs at least two."
            )
        self._register_embeddings()

    @property
    def step(self) -> int:
        """Number of the training iteration, as the runner counts it; 0 outside of a run."""
        return MessageHub.get_current_instance().get_info("iter") or 0

    def _resolve(self, embeddings: dict | str | ClassEmbeddings | None, source: dict) -> ClassEmbeddings | None:
        if embeddings is None:
            return None
        resolved = resolve_class_embeddings(embeddings, **source)
        resolved.check_encoder(self.encoder.embed_dim, self.encoder.model_name)
        return resolved

    def _register_embeddings(self) -> None:
        # Buffers follow the model to its device. They are no state: the config names them, the cache holds them.
        if self.class_embeddings is not None:
            self.register_buffer("text", self.class_embeddings.embeddings, persistent=False)
        if self.class_embeddings is not None and "thing_mask" in self.loss_module.inputs:
            self.register_buffer("thing_mask", self.class_embeddings.thing_mask, persistent=False)
        if self.test_class_embeddings is not None:
            test_text = F.normalize(self.test_class_embeddings.embeddings, dim=-1)
            self.register_buffer("test_text", test_text, persistent=False)

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
            and ``mask_scores``, cosines (N, K)) and
            ``vocabulary_classes``, the names of the K classes. ``'tensor'``: the dense maps (B, D, h, w).
        """
        dense = self.encoder.dense(inputs)
        if mode == "tensor":
            return dense
        if data_samples is None:
            raise ValueError(f"mode={mode!r} needs data_samples with regions.")
        if mode == "loss":
            return self.loss(dense, data_samples)
        if mode == "predict":
            return self.predict(dense, data_samples)
        raise ValueError(f"mode must be 'loss', 'predict' or 'tensor', got {mode!r}.")

    def loss(self, dense: Tensor, data_samples: list[RegionDataSample]) -> dict[str, Tensor]:
        """Pool the training regions and hand them to the loss together with what it asks for."""
        features_RD = pool_boxes(dense, [sample.regions.boxes_norm_xyxy for sample in data_samples])
        arguments: dict[str, Any] = {}
        for name in self.loss_module.inputs:
            arguments[name] = self._targets(name, data_samples) if name in _TARGETS else getattr(self, name)
        return self.loss_module(features_RD, **arguments)

    def _targets(self, name: str, data_samples: list[RegionDataSample]) -> Tensor:
        if name not in data_samples[0].regions:
            raise KeyError(
                f"{type(self.loss_module).__name__} needs regions.{name}, which nothing wrote into the batch: add the "
                "hook that computes it to default_hooks (RegionRetrievalHook, CropTeacherHook, or RegionLabelHook for "
                "regions with categories)."
            )
        return torch.cat([sample.regions[name] for sample in data_samples]).to(self.data_preprocessor.device)

    def predict(self, dense: Tensor, data_samples: list[RegionDataSample]) -> list[RegionDataSample]:
        """Classify the annotated regions by their boxes and by their masks."""
        if self.test_class_embeddings is None:
            raise ValueError(
                "model.test_class_embeddings is missing: it says which vocabulary regions are classified into."
            )
        regions = [sample.gt_regions for sample in data_samples]
        sizes = [len(r.labels) for r in regions]
        boxes_ND = pool_boxes(dense, [r.boxes_norm_xyxy for r in regions])
        masks_ND = pool_masks(dense, [r.masks for r in regions])
        box_scores = text_similarity(boxes_ND, self.test_text).split(sizes)
        mask_scores = text_similarity(masks_ND, self.test_text).split(sizes)
        for sample, box_scores_NK, mask_scores_NK in zip(data_samples, box_scores, mask_scores, strict=True):
            sample.pred_regions = InstanceData(box_scores=box_scores_NK, mask_scores=mask_scores_NK)
            sample.set_metainfo(dict(vocabulary_classes=self.test_class_embeddings.classes))
        return data_samples

    def predicted_classes(self) -> tuple[str, ...]:
        """Names of the classes that regions are classified into; none without a vocabulary."""
        return () if self.test_class_embeddings is None else self.test_class_embeddings.classes

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Sum up the loss; log figures as means over processes, not as those of the first one."""
        loss, log_vars = super().parse_losses(losses)
        log_vars = {name: value.detach().clone() for name, value in log_vars.items()}
        all_reduce_dict(log_vars, op="mean")
        return loss, log_vars
