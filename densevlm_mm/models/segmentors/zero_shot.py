"""A dense encoder as a segmentor, without any training: `ZeroShotSegmentor`."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.layers.region_pooling import pool_boxes, pool_masks
from densevlm_mm.models.open_vocabulary import check_finite_scores, embedding_facts, embedding_options
from densevlm_mm.models.segmentors.san_text_classifier import check_number_of_classes
from densevlm_mm.models.segmentors.score_maps import CLASSES_AT_ONCE, choose_classes
from densevlm_mm.models.text import EmbeddingsConfig, LazyClassEmbeddings
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.vocabulary import VocabularySource

# B images, K classes, R regions, D embedding size; h x w the grid of the dense map.

_KNOWN_TEST_OPTIONS = {"mode", "crop_size", "stride", "keep_scores"}


@MODELS.register_module()
class ZeroShotSegmentor(BaseSegmentor):
    """Every position of an encoder's dense map gets the class whose text it is nearest to, as in MaskCLIP.

    It also classifies regions and compares positions with texts, and has nothing to train. That the paper's encoders
    are used like this is our addition: the paper evaluates regions, detectors and trained segmentors.

    Args:
        encoder: Config of a :class:`DenseImageEncoder`.
        class_embeddings: Vocabulary and prompts, as :class:`LazyClassEmbeddings` takes them; ``model_name`` and
            ``checkpoint`` default to the encoder's.
        input_size: Longer side in pixels that images are resized to, both sides rounded to whole positions of the dense
            map. None: the encoder's ``image_size``.
        temperature: Of the softmax over the cosines.
        test_cfg: ``dict(mode='whole')``; or, for images that are large against the encoder's own size,
            ``dict(mode='slide', crop_size=512, stride=256)``: windows of the resized image, in pixels, whose cosines
            are averaged where they overlap. ``keep_scores=True`` keeps ``seg_logits`` (K, H, W).
        data_preprocessor: Default: ``SegDataPreProcessor`` from BGR with the encoder's mean and standard deviation.
        train_cfg: Unused, for mmengine.
        init_cfg: As in mmengine.
        pretrained: Must be None, as ``mmseg.apis.init_model`` sets it.

    Raises:
        ValueError: If an option is impossible.

    Example:
        >>> model = dict(type='ZeroShotSegmentor', encoder=dict(type='densevlm_mm.DenseImageEncoder',
        ...     checkpoint='weights/densevlm_eva02_b16.safetensors'), class_embeddings=dict(vocabulary='ade20k_150'))
    """

    align_corners = False

    def __init__(
        self,
        encoder: dict,
        class_embeddings: EmbeddingsConfig,
        input_size: int | None = None,
        temperature: float = 0.01,
        test_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
        pretrained: None = None,
    ) -> None:
        if pretrained is not None:
            raise ValueError(f"the weights come from encoder.checkpoint, not from pretrained={pretrained!r}")
        built: DenseImageEncoder = MODELS.build(dict(encoder, trainable="none"))
        if data_preprocessor is None:
            data_preprocessor = dict(
                type="SegDataPreProcessor",
                mean=[255 * value for value in built.mean],
                std=[255 * value for value in built.std],
                bgr_to_rgb=True,
                size_divisor=1,
            )
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.encoder = built
        size = built.image_size if input_size is None else input_size
        self.input_size = size if isinstance(size, int) else max(size)
        if self.input_size < built.stride:
            raise ValueError(f"input_size={input_size} is smaller than one position of {built.stride} pixels")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        self.temperature = temperature
        self.train_cfg, self.test_cfg = train_cfg, _checked_test_cfg(test_cfg or {}, built.stride)
        named = {key: built.description[key] for key in ("model_name", "model_cfg")}
        self._classes = LazyClassEmbeddings(
            class_embeddings, model_name=encoder.get("model_name") or named, checkpoint=built.checkpoint
        )
        self._classes.for_encoder(built.embed_dim, built.model_name)
        check_number_of_classes(self._classes)

    def set_vocabulary(self, vocabulary: VocabularySource) -> None:
        """Predict over other classes from now on, see :class:`OpenVocabularyModel`."""
        classes = self._classes.with_vocabulary(vocabulary)
        check_number_of_classes(classes)
        self._classes = classes

    def prepare_classes(self, training: bool) -> None:
        """Get the class embeddings; see :class:`PrepareClassesHook`.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If the embeddings are not the encoder's.
        """
        _ = self._text

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Embed texts as class names, with the prompts of the vocabulary: unit vectors (T, D)."""
        return self._classes.with_vocabulary(list(texts)).unit_text(self._device)

    @property
    def _text(self) -> Tensor:
        return self._classes.unit_text(self._device)

    @property
    def _device(self) -> torch.device:
        return next(self.encoder.parameters()).device

    def training_classes(self) -> tuple[str, ...]:
        """Names of the classes; there is no training."""
        return self._classes.classes

    predicted_classes = training_classes

    def predicted_vocabulary(self) -> Vocabulary:
        """The classes with the names that they are prompted by, see :class:`SynonymTestLoop`."""
        return self._classes.vocabulary

    def vocabulary_facts(self) -> dict[str, Any]:
        """Say what the classes and their embeddings are, see :class:`OpenVocabularyModel`."""
        return embedding_facts(self._classes.resolve())

    @classmethod
    def use_vocabulary(cls, cfg: ConfigDict, vocabulary: VocabularySource) -> None:
        """Let a segmentor of this config predict other classes, see :class:`OpenVocabularyModel`.

        Raises:
            ValueError: If the config names a file of class embeddings.
        """
        embedding_options(cfg.get("class_embeddings"), "model.class_embeddings").vocabulary = vocabulary

    def extract_feat(self, inputs: Tensor) -> Tensor:
        """Dense map (B, D, h, w) of normalised images (B, 3, H, W) of any size; unit norm unless windows overlap."""
        stride = self.encoder.stride
        scale = self.input_size / max(inputs.shape[-2:])
        size = tuple(max(round(side * scale / stride), 1) * stride for side in inputs.shape[-2:])
        images = F.interpolate(inputs, size, mode="bilinear", antialias=True)
        if self.test_cfg["mode"] == "whole":
            return self.encoder.dense(images)
        # Windows begin at multiples of the stride, so that their maps fall on cells of the whole map.
        total = images.new_zeros(len(images), self.encoder.embed_dim, *(side // stride for side in size))
        counts = total.new_zeros(total.shape[-2:])
        for rows, columns in self._windows(size):
            cells = tuple(slice(part.start // stride, part.stop // stride) for part in (rows, columns))
            total[..., cells[0], cells[1]] += self.encoder.dense(images[..., rows, columns])
            counts[cells] += 1
        return total / counts

    def _windows(self, size: Sequence[int]) -> Iterator[tuple[slice, slice]]:
        crop, step = self.test_cfg["crop_size"], self.test_cfg["stride"]
        rows, columns = (
            [slice(start, start + min(crop, side)) for start in (*range(0, side - crop, step), max(side - crop, 0))]
            for side in size
        )
        return ((row, column) for row in rows for column in columns)

    def cosines(self, dense: Tensor, text_TD: Tensor) -> Tensor:
        """Cosines (B, T, h, w) of a dense map (B, D, h, w) with unit text embeddings (T, D)."""
        return torch.einsum("td,bdhw->bthw", text_TD.to(dense), dense)

    def classify_regions(
        self, inputs: Tensor, boxes: Tensor | None = None, masks: Tensor | None = None, points: Tensor | None = None
    ) -> Tensor:
        """Probabilities of the classes for regions of one image: boxes, masks, or points.

        Args:
            inputs: Normalised image (1, 3, H, W).
            boxes: (R, 4) x1, y1, x2, y2 in pixels of the image, pooled by RoIAlign.
            masks: (R, H, W) bool; a cell of the dense map counts as far as it is covered.
            points: (R, 2) x, y in pixels of the image, the centre of a pixel at .5.

        Returns:
            (R, K).

        Raises:
            ValueError: If not exactly one kind of regions is given.
        """
        given = [regions for regions in (boxes, masks, points) if regions is not None]
        if len(given) != 1:
            raise ValueError(f"give boxes, masks or points, one of them; got {len(given)} of them")
        dense = self.extract_feat(inputs)
        height, width = inputs.shape[-2:]
        if boxes is not None:
            scale = torch.tensor([width, height, width, height], dtype=torch.float32)
            features_RD = pool_boxes(dense, [boxes.float().cpu() / scale])
        elif masks is not None:
            covered = F.interpolate(masks[None].float(), tuple(dense.shape[-2:]), mode="area")[0]
            features_RD = pool_masks(dense, [covered])
        else:
            assert points is not None
            # Without aligned corners -1 and 1 are the outer edges of the image, as 0 and its size are for points.
            places = points.float() / torch.tensor([width, height]) * 2 - 1
            sampled = F.grid_sample(dense, places.to(dense)[None, :, None], padding_mode="border", align_corners=False)
            features_RD = sampled[0, :, :, 0].T
        cosines_RK = F.normalize(features_RD, dim=-1) @ self._text.T
        return (cosines_RK / self.temperature).softmax(dim=-1)

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict] | None = None) -> Tensor:
        """Probabilities (B, K, h, w) of normalised images (B, 3, H, W), on the grid of the dense map."""
        return (self.cosines(self.extract_feat(inputs), self._text) / self.temperature).softmax(dim=1)

    _forward = encode_decode

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """There is none.

        Raises:
            ValueError: Always.
        """
        raise ValueError("ZeroShotSegmentor has nothing to train: train its encoder with a config in configs/densevlm")

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Segment.

        Args:
            inputs: Normalised images (B, 3, H, W).
            data_samples: With ``ori_shape``; None takes (H, W).

        Returns:
            The data samples at their original size, with ``pred_sem_seg`` (1, H', W') int64, ``pred_scores``, the
            probability (1, H', W') of each pixel's class, and the metainfo ``vocabulary_classes``.

        Raises:
            ValueError: If images are padded, or a score is not finite.
        """
        samples = data_samples or [SegDataSample(metainfo=dict(ori_shape=tuple(inputs.shape[-2:]))) for _ in inputs]
        for sample in samples:
            if any(any(sample.metainfo.get(key, ())) for key in ("padding_size", "img_padding_size")):
                raise ValueError("ZeroShotSegmentor takes no padded images: test with a batch size of 1")
        names = self._classes.classes
        for sample, scores_KHW in zip(samples, self.encode_decode(inputs), strict=True):
            check_finite_scores(scores_KHW, sample.get("img_path", None))
            if sample.metainfo.get("flip"):
                scores_KHW = scores_KHW.flip({"horizontal": -1, "vertical": -2}[sample.metainfo["flip_direction"]])
            size = tuple(sample.metainfo["ori_shape"][:2])
            labels, best, kept = choose_classes(scores_KHW.split(CLASSES_AT_ONCE), size, self.test_cfg["keep_scores"])
            sample.set_data(dict(pred_sem_seg=PixelData(data=labels), pred_scores=PixelData(data=best)))
            if kept is not None:
                sample.set_data(dict(seg_logits=PixelData(data=kept)))
            sample.set_metainfo(dict(vocabulary_classes=names, training_classes=names))
        return samples


def _checked_test_cfg(test_cfg: dict, stride: int) -> dict[str, Any]:
    checked = {"mode": "whole", "keep_scores": True, **test_cfg}
    if checked["mode"] not in ("whole", "slide") or not checked.keys() <= _KNOWN_TEST_OPTIONS:
        raise ValueError(f"test_cfg has mode 'whole' or 'slide' and the keys {_KNOWN_TEST_OPTIONS}, got {test_cfg}")
    if checked["mode"] == "slide":
        crop, step = checked.get("crop_size"), checked.get("stride")
        if not (isinstance(crop, int) and isinstance(step, int) and 0 < step <= crop) or crop % stride or step % stride:
            raise ValueError(
                f"test_cfg of mode 'slide' needs 0 < stride <= crop_size, both multiples of {stride}, the encoder's "
                f"stride; got stride={step}, crop_size={crop}"
            )
    return checked
