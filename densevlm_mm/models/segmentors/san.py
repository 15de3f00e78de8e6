"""SAN, an open-vocabulary segmentor whose CLIP can be swapped."""

import math
from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmseg.models.segmentors import MultimodalEncoderDecoder
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from densevlm_mm.models.open_vocabulary import check_finite_scores, embedding_facts, embedding_options
from densevlm_mm.models.segmentors.san_weights import load_clip_image_tower
from densevlm_mm.models.text import EmbeddingsConfig, LazyClassEmbeddings, complete_test_options
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.vocabulary import VocabularySource


@MODELS.register_module()
class OpenVocabularySAN(MultimodalEncoderDecoder):
    """mmseg's SAN (arXiv 2302.12242) over vocabularies that are independent of the data set's class list.

    The class embeddings are built once, those of training in a training and those of tests in a test, and cached; the
    model holds no text tower. Predictions are over ``test_class_embeddings``: label i is the i-th class of that
    vocabulary, whose names come with every prediction as the meta information ``vocabulary_classes``.

    Args:
        image_encoder: mmseg's ``VisionTransformer`` with the first blocks of an OpenAI-type CLIP, or
            :class:`TowerTaps`.
        decode_head: An :class:`OpenVocabularySANHead`.
        class_embeddings: Training vocabulary and prompts, as :func:`resolve_class_embeddings` takes them.
            ``model_name`` and ``checkpoint`` default to the image encoder's; an encoder without a text tower needs a
            ``checkpoint`` that has one.
        test_class_embeddings: What predictions are over; keys that are missing are those of ``class_embeddings``.
            None: the training vocabulary.
        clip: The weights of image encoder and recognition head: ``model_name`` (open_clip name), ``checkpoint`` (as
            :class:`DenseImageEncoder` takes it) and optionally ``trust``. None with :class:`TowerTaps`, which has its
            own.
        logit_scale: See :class:`SANTextClassifier`.
        text_encoder: Must be None.
        pretrained: Must be None.
        **options: Those of mmseg's ``MultimodalEncoderDecoder``.

    Raises:
        ValueError: If the parts do not fit each other.

    Example:
        >>> cfg = Config.fromfile('configs/san/san_vit-b16_densevlm_80k.py')
        >>> cfg.model.test_class_embeddings = dict(vocabulary='my_classes.txt')
    """

    def __init__(
        self,
        image_encoder: dict[str, Any],
        decode_head: dict[str, Any],
        class_embeddings: EmbeddingsConfig,
        test_class_embeddings: EmbeddingsConfig | None = None,
        clip: dict[str, Any] | None = None,
        logit_scale: float = 100.0,
        text_encoder: None = None,
        pretrained: None = None,
        **options: Any,
    ) -> None:
        if text_encoder is not None or pretrained is not None:
            raise ValueError(
                "the embeddings of model.class_embeddings take the text tower's place and model.clip.checkpoint that "
                f"of pretrained: set both to None, got text_encoder={text_encoder}, pretrained={pretrained!r}"
            )
        _check_source(image_encoder, clip)
        source = clip if clip is not None else image_encoder["encoder"]
        source = {key: source.get(key) for key in ("model_name", "checkpoint")}
        classes = LazyClassEmbeddings(class_embeddings, **source)
        test_classes = classes
        tested = complete_test_options(test_class_embeddings, class_embeddings)
        if tested != class_embeddings:
            test_classes = LazyClassEmbeddings(tested, **source)
        if decode_head.get("num_classes") not in (None, len(classes)):
            raise ValueError(
                f"decode_head.num_classes={decode_head['num_classes']}, but the training vocabulary "
                f"{classes.name!r} has {len(classes)} classes: leave num_classes out or set it to None"
            )
        test_cfg = options.pop("test_cfg", None)
        super().__init__(
            image_encoder=ConfigDict(image_encoder),
            text_encoder=dict(
                type="SANTextClassifier",
                class_embeddings=classes,
                test_class_embeddings=test_classes,
                logit_scale=logit_scale,
            ),
            decode_head=ConfigDict(decode_head, num_classes=len(classes)),
            test_cfg=ConfigDict(test_cfg or dict(mode="whole")),
            **options,
        )
        self.clip = clip
        self.test_embeddings = test_classes
        self.out_channels = len(test_classes)  # of the buffer of slide inference
        for lazy in (classes, test_classes):
            lazy.for_encoder(self._embed_dim(), source["model_name"])
        self._check_taps()
        self._check_padding()

    def _embed_dim(self) -> int:
        encoder = getattr(self.image_encoder, "encoder", None)
        return encoder.embed_dim if encoder is not None else self.decode_head.rec_with_attnbias.proj.out_features

    def _check_taps(self) -> None:
        encoder, adapter = self.image_encoder, self.decode_head.side_adapter_network
        num_taps = len(encoder.out_indices) + bool(encoder.out_origin)
        width = encoder.encoder.width if hasattr(encoder, "encoder") else encoder.cls_token.shape[-1]
        found = (len(adapter.fusion_index), adapter.conv_clips[0][1].in_channels)
        if found != (num_taps, width):
            raise ValueError(
                f"the image encoder gives {num_taps} maps of {width} channels, the side adapter expects {found[0]} of "
                f"{found[1]}: set decode_head.san_cfg.fusion_index and clip_channels"
            )

    def _check_padding(self) -> None:
        pad_value = getattr(self.data_preprocessor, "seg_pad_val", self.decode_head.ignore_index)
        if pad_value != self.decode_head.ignore_index:
            raise ValueError(
                f"data_preprocessor.seg_pad_val={pad_value} would make padding a class: set it to "
                f"decode_head.ignore_index={self.decode_head.ignore_index}"
            )

    def init_weights(self) -> None:
        """Initialise what trains and load CLIP."""
        self.text_encoder.init_weights()
        self.decode_head.init_weights()
        if self.clip is not None:
            load_clip_image_tower(self.image_encoder, self.decode_head.rec_with_attnbias, **self.clip)
        self._is_init = True

    def _decoder_inputs(self, images: Tensor, test: bool) -> list[Any]:
        clip_images = images
        if self.asymetric_input:
            clip_images = F.interpolate(images, scale_factor=self.encoder_resolution, mode="bilinear")
        return [images, self.image_encoder(clip_images), self.text_encoder(test=test)]

    def training_classes(self) -> tuple[str, ...]:
        """Names of the classes that labels are places in."""
        return self.text_encoder.classes

    def predicted_classes(self) -> tuple[str, ...]:
        """Names of the classes that predictions are over."""
        return self.text_encoder.test_classes

    def predicted_vocabulary(self) -> Vocabulary:
        """The classes with the names that they are prompted by, see :class:`SynonymTestLoop`."""
        return self.test_embeddings.vocabulary

    def vocabulary_facts(self) -> dict[str, Any]:
        """Say what the classes of predictions and their embeddings are, see :class:`OpenVocabularyModel`."""
        return embedding_facts(self.test_embeddings.resolve())

    @classmethod
    def use_vocabulary(cls, cfg: ConfigDict, vocabulary: VocabularySource) -> None:
        """Let a segmentor predict other classes, see :class:`OpenVocabularyModel`.

        Raises:
            ValueError: If the config names a file of class embeddings.
        """
        options = embedding_options(cfg.get("class_embeddings"), "model.class_embeddings")
        chosen = cfg.get("test_class_embeddings") or {}
        cfg.test_class_embeddings = ConfigDict({**options, **chosen, "vocabulary": vocabulary})
        cfg.test_class_embeddings.pop("file", None)

    def set_vocabulary(self, vocabulary: VocabularySource) -> None:
        """Predict over other classes from now on, see :class:`OpenVocabularyModel`."""
        self.test_embeddings = self.test_embeddings.with_vocabulary(vocabulary)
        self.text_encoder.set_test_classes(self.test_embeddings)
        self.out_channels = len(self.test_embeddings)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Compute the losses over the training vocabulary.

        Args:
            inputs: Normalised images (B, 3, H, W).
            data_samples: With ``gt_sem_seg``, labels of the training vocabulary.

        Returns:
            The losses by name.
        """
        return self._decode_head_forward_train(self._decoder_inputs(inputs, test=False), data_samples)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict[str, Any]]) -> Tensor:
        """Score every pixel over the test vocabulary.

        Args:
            inputs: Normalised images (B, 3, H, W), or crops of them.
            batch_img_metas: Their meta information.

        Returns:
            (B, T, H, W), not negative, larger is likelier; T classes of the test vocabulary.
        """
        height, width = inputs.shape[2:]
        # The image of a panorama can be thinner than a patch; zero is the mean colour.
        padding = [0, max(0, self._smallest_side() - width), 0, max(0, self._smallest_side() - height)]
        padded = F.pad(inputs, padding)
        if padded.shape != inputs.shape:  # a Size is what mmseg's head takes before any other meta information
            batch_img_metas = [{**meta, "img_shape": padded.shape[2:]} for meta in batch_img_metas]
        scores = self.decode_head.predict(self._decoder_inputs(padded, test=True), batch_img_metas, self.test_cfg)
        return scores[..., :height, :width]

    def _smallest_side(self) -> int:
        """Pixels of a side of which the image encoder sees one patch."""
        encoder = getattr(self.image_encoder, "encoder", None)
        patch = self.image_encoder.patch_size if encoder is None else encoder.stride
        return math.ceil(patch / (self.encoder_resolution if self.asymetric_input else 1))

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Segment images.

        Args:
            inputs: Normalised images (B, 3, H, W).
            data_samples: With the images' meta information.

        Returns:
            The data samples with ``pred_sem_seg`` (labels of the test vocabulary), ``seg_logits``, and in the meta
            information the names of their classes, ``vocabulary_classes``, and of those of training,
            ``training_classes``.

        Raises:
            ValueError: If a score is not finite.
        """
        results = super().predict(inputs, data_samples)
        for result in results:
            check_finite_scores(result.seg_logits.data, result.get("img_path", None))
            result.set_metainfo(
                dict(vocabulary_classes=self.text_encoder.test_classes, training_classes=self.text_encoder.classes)
            )
        return results

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Any:
        """Return the decode head's raw outputs over the test vocabulary, see :meth:`OpenVocabularySANHead.forward`."""
        return self.decode_head(self._decoder_inputs(inputs, test=True))


def _check_source(image_encoder: Mapping[str, Any], clip: Mapping[str, Any] | None) -> None:
    has_own = "encoder" in image_encoder
    if has_own == (clip is not None) or (clip is not None and not clip.get("checkpoint")):
        raise ValueError(
            "the weights of the image encoder come from model.clip=dict(model_name=..., checkpoint=...), or with "
            f"TowerTaps from its encoder; got clip={clip} for a {image_encoder.get('type')} "
            f"{'with' if has_own else 'without'} encoder. 'random' asks for random weights explicitly"
        )
