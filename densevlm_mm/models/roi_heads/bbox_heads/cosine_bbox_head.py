"""The box head of F-ViT: classes are text, their logits cosines with a region embedding."""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads.bbox_heads import ConvFCBBoxHead
from mmdet.models.utils import empty_instances
from mmdet.registry import MODELS
from mmdet.structures.bbox import get_box_tensor, scale_boxes
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import Tensor, nn

from densevlm_mm.models.clip import ModelName
from densevlm_mm.models.layers import text_similarity
from densevlm_mm.models.layers.multiclass_nms import multiclass_nms
from densevlm_mm.models.open_vocabulary import embedding_options
from densevlm_mm.models.text import ClassEmbeddings, EmbeddingsConfig, LazyClassEmbeddings
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.splits import novel_mask, novel_names, untrained_classes
from densevlm_mm.vocabulary.vocabulary import VocabularySource

# R regions, C classes, K = C + 1 columns (the last is the background), D channels.

BACKGROUND = "background"


@MODELS.register_module()
class CosineBBoxHead(ConvFCBBoxHead):
    """Class-agnostic boxes, and classification by the cosine of a region embedding with class embeddings.

    The classification branch ends in the region embedding, so ``fc_out_channels`` is the embeddings' dimension. All C
    classes have a column in training too; the loss leaves the novel ones out. In a test the detector's probabilities
    are combined with those of the frozen encoder, see :meth:`ensemble`.

    Args:
        class_embeddings: Embeddings of the C classes and of the word "background", the last, as
            :func:`resolve_class_embeddings` takes them. They are no part of a checkpoint: a detector is tested on
            another vocabulary by config alone.
        num_classes: C, to be checked; ``None`` takes that of the embeddings.
        novel_classes: Names of the classes that are held out from training, in any spelling; a string is a vocabulary
            that says which, such as ``'ov_coco_65'``, see :func:`load_split`.
        background_weight: Weight of background regions in the loss (0.6 on OV-COCO, 0.9 on OV-LVIS).
        temperature: Factor on the cosines, T_det; the initial value if it is learned.
        learn_temperature: ``False`` fixes it; a checkpoint's learned value is then not loaded.
        vlm_temperature: Factor on the cosines of the encoder's features, T_vlm.
        alpha: Share of the encoder in the score of base classes and of the background, 0 to 1.
        beta: Its share in the score of novel classes.
        loss_cls: Classification loss; it is given ``class_weight``, unless it has one.
        **options: Those of mmdet's ``ConvFCBBoxHead``; ``reg_class_agnostic`` is always true.

    Raises:
        ValueError: If the embeddings do not fit ``num_classes`` or ``fc_out_channels``, do not end in "background", if
            a novel class is none of theirs, or if an option is out of range.

    Example:
        >>> bbox_head = dict(type='CosineBBoxHead', num_classes=65, in_channels=256, fc_out_channels=512,
        ...     num_shared_convs=4, num_shared_fcs=2, num_cls_fcs=1, num_reg_fcs=1, norm_cfg=dict(type='SyncBN'),
        ...     class_embeddings='data/class_embeddings/ov_coco.safetensors', novel_classes='ov_coco_65')
    """

    is_novel: Tensor
    vlm_share: Tensor

    def __init__(
        self,
        class_embeddings: EmbeddingsConfig,
        num_classes: int | None = None,
        novel_classes: str | Sequence[str] = (),
        background_weight: float = 1.0,
        temperature: float = 50.0,
        learn_temperature: bool = True,
        vlm_temperature: float = 75.0,
        alpha: float = 0.1,
        beta: float = 0.8,
        loss_cls: dict | None = None,
        **options: Any,
    ) -> None:
        if not options.setdefault("reg_class_agnostic", True) or not options.get("with_reg", True):
            raise ValueError("CosineBBoxHead regresses boxes for all classes alike: leave out reg_class_agnostic.")
        for name, share in (("alpha", alpha), ("beta", beta)):
            if not 0 <= share <= 1:
                raise ValueError(f"{name} is a share in [0, 1], got {share}.")
        embeddings = LazyClassEmbeddings(class_embeddings)
        num_classes = len(embeddings) - 1 if num_classes is None else num_classes
        _check_columns(embeddings, num_classes)
        is_base = _base_columns(embeddings, novel_classes)
        loss_cls = dict(type="MaskedCrossEntropyLoss") if loss_cls is None else dict(loss_cls)
        loss_cls.setdefault("class_weight", [*map(float, is_base[:-1]), background_weight])
        super().__init__(num_classes=num_classes, loss_cls=loss_cls, **options)
        if self.cls_last_dim != embeddings.embed_dim:
            raise ValueError(
                f"the classification branch ends in {self.cls_last_dim} channels, class embeddings "
                f"{embeddings.name!r} have dimension {embeddings.embed_dim}: set num_cls_fcs=1 and "
                f"fc_out_channels={embeddings.embed_dim}."
            )
        # The branch's output is the embedding. A name must remain, for the inherited init_cfg.
        self.fc_cls = nn.Identity()
        self._classes = embeddings
        self._configured, self._novel_classes, self._shares = class_embeddings, novel_classes, (alpha, beta)
        self.vlm_temperature = vlm_temperature
        self.register_buffer("is_novel", ~torch.tensor(is_base), persistent=False)
        self.register_buffer("vlm_share", torch.where(self.is_novel, beta, alpha).float(), persistent=False)
        if learn_temperature:
            self.temperature = nn.Parameter(torch.tensor(float(temperature)))
        else:
            self.register_buffer("temperature", torch.tensor(float(temperature)), persistent=False)
            self.register_load_state_dict_pre_hook(_drop_temperature)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the C classes."""
        return self._classes.classes[:-1]

    @property
    def vocabulary(self) -> Vocabulary:
        """The C classes with the names that they are prompted by."""
        return self._classes.vocabulary

    @property
    def class_embeddings(self) -> ClassEmbeddings:
        """Embeddings of the C classes and the background; the first use may encode them."""
        return self._classes.resolve()

    @property
    def text(self) -> Tensor:
        """The same as a tensor (K, D) of unit norm."""
        return self._classes.unit_text(self.is_novel.device)

    def for_encoder(self, embed_dim: int, model_name: ModelName | None) -> None:
        """Say which encoder the classes are compared with; see :meth:`LazyClassEmbeddings.for_encoder`."""
        self._classes.for_encoder(embed_dim, model_name)

    def set_vocabulary(self, vocabulary: VocabularySource) -> None:
        """Detect other classes from now on; those that training saw, by name in any spelling, are base.

        Args:
            vocabulary: As `Vocabulary.load` takes it.

        Raises:
            ValueError: If the config names a file of class embeddings, or nobody can tell whether training saw a name.
        """
        trained = embedding_options(self._configured, "model.roi_head.bbox_head.class_embeddings").vocabulary
        wanted = Vocabulary.load(vocabulary)
        novel = untrained_classes(wanted, Vocabulary.load(trained), novel_names(self._novel_classes))
        classes = self._classes.with_vocabulary(wanted)
        is_novel = ~torch.tensor(_base_columns(classes, novel), device=self.is_novel.device)
        self._classes, self.num_classes, self.is_novel = classes, len(wanted), is_novel
        self.vlm_share = torch.where(is_novel, self._shares[1], self._shares[0]).float()

    def prepare_classes(self, training: bool) -> None:
        """Get the class embeddings, the same in training and tests; see :class:`PrepareClassesHook`.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the embeddings are not the encoder's.
        """
        _ = self.text

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Classify and regress.

        Args:
            x: Pooled features (R, in_channels, 7, 7).

        Returns:
            Logits (R, K) and box deltas (R, 4), float32 under autocast too.
        """
        embedding_RD, deltas_R4 = super().forward(x)
        return self.temperature * text_similarity(embedding_RD, self.text), deltas_R4.float()

    def name_instances(self, instances: InstanceData) -> None:
        """Add to detections their classes' names, ``label_names``, and which are novel, ``is_novel`` (N,) bool."""
        instances.label_names = [self.classes[label] for label in instances.labels.tolist()]
        instances.is_novel = self.is_novel[instances.labels]

    def ensemble(self, det_logits: Tensor, vlm_features: Tensor) -> Tensor:
        """Combine the detector's probabilities p with the encoder's q: ``p ** (1 - share) * q ** share``.

        The share is ``alpha`` for base classes and the background, ``beta`` for novel classes. Both softmaxes run over
        all K columns; the result is not normalised again.

        Args:
            det_logits: Logits (R, K) of :meth:`forward`.
            vlm_features: The encoder's features of the same regions (R, D), any norm.

        Returns:
            Scores (R, K) in [0, 1].
        """
        log_p_RK = det_logits.float().log_softmax(dim=-1)
        log_q_RK = (self.vlm_temperature * text_similarity(vlm_features, self.text)).log_softmax(dim=-1)
        return torch.lerp(log_p_RK, log_q_RK, self.vlm_share.expand_as(log_p_RK)).exp()

    def _predict_by_feat_single(
        self,
        roi: Tensor,
        cls_score: Tensor,
        bbox_pred: Tensor,
        img_meta: dict,
        rescale: bool = False,
        rcnn_test_cfg: ConfigDict | None = None,
    ) -> InstanceData:
        """Boxes of one image after class-wise NMS. ``cls_score`` holds scores, not logits: mmdet's takes a softmax.

        Args:
            roi: Image index and xyxy box (R, 5).
            cls_score: Scores (R, K) of :meth:`ensemble`; the background's are dropped.
            bbox_pred: Box deltas (R, 4).
            img_meta: With ``img_shape``, and ``scale_factor`` for ``rescale``.
            rescale: Return boxes in the frame of the original image.
            rcnn_test_cfg: With ``score_thr``, ``nms`` and ``max_per_img``; None: return all boxes and scores.
        """
        results = InstanceData()
        if len(roi) == 0:
            return empty_instances(
                [img_meta],
                roi.device,
                task_type="bbox",
                instance_results=[results],
                num_classes=self.num_classes,
                score_per_cls=rcnn_test_cfg is None,
            )[0]
        boxes_xyxy = self.bbox_coder.decode(roi[:, 1:], bbox_pred, max_shape=img_meta["img_shape"])
        if rescale:
            boxes_xyxy = scale_boxes(boxes_xyxy, [1 / factor for factor in img_meta["scale_factor"]])
        boxes_xyxy = get_box_tensor(boxes_xyxy)
        if rcnn_test_cfg is None:
            results.bboxes, results.scores = boxes_xyxy, cls_score
            return results
        results.bboxes, results.scores, results.labels = multiclass_nms(
            boxes_xyxy, cls_score[:, :-1], rcnn_test_cfg.score_thr, rcnn_test_cfg.nms, rcnn_test_cfg.max_per_img
        )
        return results


def _check_columns(embeddings: LazyClassEmbeddings, num_classes: int) -> None:
    if embeddings.classes[-1] != BACKGROUND:
        raise ValueError(
            f"class embeddings {embeddings.name!r} end in {embeddings.classes[-1]!r}; the last must be {BACKGROUND!r}: "
            f"build them with extra_classes=('{BACKGROUND}',)."
        )
    if len(embeddings) != num_classes + 1:
        raise ValueError(
            f"class embeddings {embeddings.name!r} hold {len(embeddings) - 1} classes and the background, num_classes "
            f"is {num_classes}."
        )


def _base_columns(embeddings: LazyClassEmbeddings, novel_classes: str | Sequence[str]) -> list[bool]:
    novel = novel_names(novel_classes)
    is_novel = novel_mask(embeddings.classes[:-1], novel, f"novel_classes of class embeddings {embeddings.name!r}")
    return [*(not held_out for held_out in is_novel), True]


def _drop_temperature(module: nn.Module, state_dict: dict, prefix: str, *_: Any) -> None:
    state_dict.pop(f"{prefix}temperature", None)
