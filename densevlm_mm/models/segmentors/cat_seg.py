"""CAT-Seg, open-vocabulary segmentation by cost aggregation (Cho et al., CVPR 2024, arXiv 2303.11797)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.models.segmentors import BaseSegmentor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from densevlm_mm.models.open_vocabulary import check_finite_scores
from densevlm_mm.models.segmentors.prompted_classes import PromptedClasses
from densevlm_mm.models.segmentors.score_maps import CLASSES_AT_ONCE, choose_classes, resize_maps
from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.vocabulary import VocabularySource

# B images, T classes, P prompts, D embedding size; h x w the grid of patches.

_WHOLE = {"mode": "whole", "keep_scores": True}
_SLIDE = {"mode": "slide", "size": 640, "crop_size": 384, "stride": 256, "keep_scores": True}


@MODELS.register_module()
class CATSeg(BaseSegmentor):
    """A CLIP whose query and value projections are tuned, and a head that aggregates its cosine maps.

    Classes are text: the vocabulary of a test is independent of the training's.

    Args:
        image_encoder: Config of a :class:`DenseImageEncoder`. Its ``image_size`` is the side that every image is
            resized to. Swapping CLIP for DenseVLM is a change of its ``checkpoint``.
        decode_head: Config of a :class:`CATSegHead`; ``embed_dim`` and ``in_channels`` come from the encoder.
        vocabulary: Training classes, as :meth:`Vocabulary.load` takes them: a packaged name, a path ending in .json or
            .txt, or a list of names.
        test_vocabulary: Classes of predictions, likewise; None: those of training.
        templates: Prompt templates of both, as :func:`class_prompts` takes them; as many as the head's ``num_prompts``.
        synonyms: Which names of a class are prompted, see :meth:`Vocabulary.prompt_names`.
        text_encoder: Config of a :class:`ClipTextEncoder`. Default: from the image encoder's ``model_name`` and
            ``checkpoint``, trained if it is; give its ``checkpoint`` if the image encoder's file has no text tower.
        guidance_indices: Two blocks of the image tower whose outputs guide the decoder: 3 and 7 for B/16, 7 and 15 for
            L/14.
        data_preprocessor: Default: ``SegDataPreProcessor`` from BGR with the encoder's mean and standard deviation.
        train_cfg: Unused, for mmengine.
        test_cfg: ``dict(mode='whole')``: the image resized to ``image_size``. ``dict(mode='slide', size=640,
            crop_size=384, stride=256)``, the published protocol: the image resized to a square of ``size``, crops of
            it, and the whole image as one crop more; sigmoid scores averaged. In both ``keep_scores=False`` leaves out
            ``seg_logits``, which for 847 classes at the original size take gigabytes.
        init_cfg: As in mmengine.
        class_embeddings: Former name of ``vocabulary``; must be None.
        test_class_embeddings: Former name of ``test_vocabulary``; must be None.
        pretrained: Must be None, as ``mmseg.apis.init_model`` sets it.

    Raises:
        FileNotFoundError: If a vocabulary file does not exist.
        ValueError: If the encoders have different embedding sizes, or an option is impossible.
    """

    align_corners = False

    def __init__(
        self,
        image_encoder: dict,
        decode_head: dict,
        vocabulary: VocabularySource | None = None,
        test_vocabulary: VocabularySource | None = None,
        templates: str | Sequence[str] = "cat_seg",
        synonyms: str = "first",
        text_encoder: dict | None = None,
        guidance_indices: Sequence[int] = (3, 7),
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        init_cfg: dict | list | None = None,
        class_embeddings: None = None,
        test_class_embeddings: None = None,
        pretrained: None = None,
    ) -> None:
        # What can be wrong about the options, before the long part.
        _check_former_names(class_embeddings, test_class_embeddings)
        if pretrained is not None:
            raise ValueError(f"the weights come from image_encoder.checkpoint, not from pretrained={pretrained!r}")
        if vocabulary is None:
            raise ValueError("CATSeg needs a vocabulary to train on, for example vocabulary='coco_stuff_171'")
        prompting = (templates, synonyms)
        classes = PromptedClasses.from_vocabulary(vocabulary, *prompting)
        tested = vocabulary if test_vocabulary is None else test_vocabulary
        test_classes = PromptedClasses.from_vocabulary(tested, *prompting)
        test_cfg = _checked_test_cfg(test_cfg or _WHOLE)
        if len(guidance_indices) != 2:
            raise ValueError(f"guidance_indices must be two blocks, got {tuple(guidance_indices)}")
        built_encoder = MODELS.build(image_encoder)
        if data_preprocessor is None:
            data_preprocessor = dict(
                type="SegDataPreProcessor",
                mean=[255 * value for value in built_encoder.mean],
                std=[255 * value for value in built_encoder.std],
                bgr_to_rgb=True,
                size_divisor=1,  # mmseg wants to be told how training crops of unequal size are padded
            )
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.image_encoder = built_encoder
        self.text_encoder = MODELS.build(_text_config(image_encoder, text_encoder))
        if self.text_encoder.embed_dim != self.image_encoder.embed_dim:
            raise ValueError(
                f"text tower {self.text_encoder.model_name!r} embeds in {self.text_encoder.embed_dim} dimensions, "
                f"image tower {self.image_encoder.model_name!r} in {self.image_encoder.embed_dim}: take both from one "
                "CLIP"
            )
        self.guidance_indices = tuple(guidance_indices)
        sizes = dict(embed_dim=self.image_encoder.embed_dim, in_channels=self.image_encoder.width)
        self.decode_head = MODELS.build({**sizes, **decode_head})
        size = self.image_encoder.image_size
        self.input_size: tuple[int, int] = (size, size) if isinstance(size, int) else tuple(size)
        self.classes, self.test_classes, self._prompting = classes, test_classes, prompting
        self._tested = tested
        self.train_cfg, self.test_cfg = train_cfg, test_cfg

    def set_vocabulary(self, vocabulary: VocabularySource) -> None:
        """Predict over other classes from now on; see ``test_vocabulary``."""
        self.test_classes = PromptedClasses.from_vocabulary(vocabulary, *self._prompting)
        self._tested = vocabulary

    def prepare_classes(self, training: bool) -> None:
        """Tokenize the prompts of the training or of the test classes; see :class:`PrepareClassesHook`.

        Raises:
            ValueError: If the text tower cannot read them.
        """
        self.text_encoder.prepare((self.classes if training else self.test_classes).prompts)

    def training_classes(self) -> tuple[str, ...]:
        """Names of the classes that labels are places in."""
        return self.classes.names

    def predicted_classes(self) -> tuple[str, ...]:
        """Names of the classes that predictions are over."""
        return self.test_classes.names

    def predicted_vocabulary(self) -> Vocabulary:
        """The classes with the names that they are prompted by, see :class:`SynonymTestLoop`."""
        return Vocabulary.load(self._tested)

    def vocabulary_facts(self) -> dict[str, Any]:
        """Say what the classes of predictions are, see :class:`OpenVocabularyModel`."""
        templates, synonyms = self._prompting
        return dict(
            vocabulary=self._tested.name if isinstance(self._tested, Vocabulary) else self._tested,
            num_classes=len(self.test_classes.names),
            templates=templates,
            synonyms=synonyms,
            model=self.text_encoder.model_name,
        )

    @classmethod
    def use_vocabulary(cls, cfg: ConfigDict, vocabulary: VocabularySource) -> None:
        """Let a segmentor predict other classes, see :class:`OpenVocabularyModel`."""
        cfg.test_vocabulary = vocabulary

    def extract_feat(self, inputs: Tensor) -> tuple[list[Tensor], Tensor]:
        """Resize to the encoder's size and encode.

        Args:
            inputs: Normalised images (B, 3, H, W).

        Returns:
            Two intermediate maps (B, V, h, w), and the dense map (B, D, h, w), not normalised.
        """
        return self.image_encoder.features_and_dense(
            resize_maps(inputs, self.input_size), self.guidance_indices, normalize=False
        )

    def encode_decode(self, inputs: Tensor, text: Tensor) -> Tensor:  # type: ignore[override]
        """Return logits (B, T, 4h, 4w) of images (B, 3, H, W) for class embeddings (T, P, D)."""
        taps, dense = self.extract_feat(inputs)
        return self.decode_head(dense, taps, text)

    def loss(self, inputs: Tensor, data_samples: list[SegDataSample]) -> dict[str, Tensor]:
        """Compute the loss over the training classes, whose embeddings are recorded for autograd.

        Args:
            inputs: Normalised images (B, 3, H, W).
            data_samples: With ``gt_sem_seg`` (1, H, W).

        Returns:
            ``decode.loss_seg`` and ``decode.acc_seg``.
        """
        logits = self.encode_decode(inputs, self.text_encoder(self.classes.prompts))
        labels = torch.cat([sample.gt_sem_seg.data for sample in data_samples]).long()
        return {f"decode.{name}": value for name, value in self.decode_head.loss(logits, labels).items()}

    def _forward(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> Tensor:
        """Return the logits (B, T, 4h, 4w) of the test classes."""
        return self.encode_decode(inputs, self.text_encoder(self.test_classes.prompts))

    def predict(self, inputs: Tensor, data_samples: list[SegDataSample] | None = None) -> list[SegDataSample]:
        """Segment into the test classes.

        Args:
            inputs: Normalised images (B, 3, H, W).
            data_samples: With ``ori_shape``; None takes (H, W).

        Returns:
            The data samples at their original size, with ``pred_sem_seg`` (1, H', W') int64, ``seg_logits`` (T, H', W')
            (mean sigmoid scores, not logits), and the metainfo ``vocabulary_classes``, the names of the labels, and
            ``training_classes``, those of training.

        Raises:
            ValueError: If the images are padded, or a score is not finite.
        """
        for sample in data_samples or ():
            if any(any(sample.metainfo.get(key, ())) for key in ("padding_size", "img_padding_size")):
                raise ValueError(
                    "CATSeg resizes every image to a square and takes no padded ones: leave out "
                    "model.data_preprocessor.test_cfg"
                )
        views = self._views(inputs, self.text_encoder.cached(self.test_classes.prompts))
        if data_samples is None:
            size = tuple(inputs.shape[-2:])
            data_samples = [SegDataSample(metainfo=dict(ori_shape=size)) for _ in inputs]
        for index, sample in enumerate(data_samples):
            self._write_prediction(sample, [view[index] for view in views])
        return data_samples

    def _views(self, inputs: Tensor, text: Tensor) -> list[Tensor]:
        """Logits (B, T, 4h, 4w) of the views that a prediction averages: crops of the squashed images, the whole."""
        if self.test_cfg["mode"] == "whole":
            return [self.encode_decode(inputs, text)]
        size, crop = self.test_cfg["size"], self.test_cfg["crop_size"]
        squashed = resize_maps(inputs, (size, size))
        windows = _windows(size, crop, self.test_cfg["stride"])
        crops = [self.encode_decode(squashed[..., rows, columns], text) for rows, columns in windows]
        return [*crops, self.encode_decode(resize_maps(inputs, (crop, crop)), text)]

    def _scores(self, views: Sequence[Tensor]) -> Tensor:
        """Mean scores (C, H, W) of some classes of an image.

        Args:
            views: Logits (C, 4h, 4w), see :meth:`_views`.
        """
        if self.test_cfg["mode"] == "whole":
            return views[0].float().sigmoid()
        size, crop = self.test_cfg["size"], self.test_cfg["crop_size"]
        *crops, whole = (resize_maps(view[None].float(), (crop, crop))[0].sigmoid() for view in views)
        scores = whole.new_zeros(len(whole), size, size)
        counts = scores.new_zeros(size, size)
        for (rows, columns), scores_of_crop in zip(_windows(size, crop, self.test_cfg["stride"]), crops, strict=True):
            scores[..., rows, columns] += scores_of_crop
            counts[rows, columns] += 1
        scores /= counts
        return scores.add_(resize_maps(whole[None], (size, size))[0]).div_(2)

    def _score_chunks(self, sample: SegDataSample, views: Sequence[Tensor]) -> Iterator[Tensor]:
        # At the size of the images the scores of all classes would take gigabytes.
        for start in range(0, len(views[0]), CLASSES_AT_ONCE):
            scores_CHW = self._scores([view[start : start + CLASSES_AT_ONCE] for view in views])
            check_finite_scores(scores_CHW, sample.get("img_path", None))
            if sample.metainfo.get("flip"):
                axis = {"horizontal": -1, "vertical": -2}[sample.metainfo["flip_direction"]]
                scores_CHW = scores_CHW.flip(axis)
            yield scores_CHW

    def _write_prediction(self, sample: SegDataSample, views: Sequence[Tensor]) -> None:
        size = tuple(sample.metainfo["ori_shape"][:2])
        labels, _, scores = choose_classes(self._score_chunks(sample, views), size, self.test_cfg["keep_scores"])
        sample.set_data(dict(pred_sem_seg=PixelData(data=labels)))
        if scores is not None:
            sample.set_data(dict(seg_logits=PixelData(data=scores)))
        sample.set_metainfo(dict(vocabulary_classes=self.test_classes.names, training_classes=self.classes.names))


def _text_config(image_encoder: dict, text_encoder: dict | None) -> dict[str, Any]:
    text_encoder = dict(text_encoder or {})
    if "checkpoint" not in text_encoder:
        text_encoder["checkpoint"] = image_encoder.get("checkpoint")
    trainable = "none" if image_encoder.get("trainable", "none") == "none" else "query_value"
    defaults = dict(type="densevlm_mm.ClipTextEncoder", model_name=image_encoder.get("model_name"), trainable=trainable)
    return {**defaults, **text_encoder}


def _check_former_names(class_embeddings: object, test_class_embeddings: object) -> None:
    if class_embeddings is not None or test_class_embeddings is not None:
        raise ValueError(
            "CATSeg takes names: class_embeddings=dict(vocabulary=X, templates=..., synonyms=...) is now "
            "vocabulary=X, templates=..., synonyms=..., and test_class_embeddings=dict(vocabulary=Y) test_vocabulary=Y"
        )


def _checked_test_cfg(test_cfg: dict) -> dict[str, Any]:
    known = {"whole": _WHOLE, "slide": _SLIDE}.get(test_cfg.get("mode", "whole"))
    if known is None:
        raise ValueError(f"test_cfg.mode must be 'whole' or 'slide', got {test_cfg['mode']!r}")
    if unknown := sorted(set(test_cfg) - set(known)):
        raise ValueError(f"test_cfg of mode {known['mode']!r} has unknown keys {unknown}; known: {sorted(known)}")
    checked = {**known, **test_cfg}
    if checked["mode"] == "slide":
        size, crop, stride = (checked[key] for key in ("size", "crop_size", "stride"))
        if not 0 < stride <= crop <= size:
            raise ValueError(f"test_cfg needs 0 < stride <= crop_size <= size, got {stride}, {crop}, {size}")
    return checked


def _windows(size: int, crop: int, stride: int) -> Iterator[tuple[slice, slice]]:
    starts = [*range(0, size - crop, stride), size - crop]  # the last one ends at the border
    return ((slice(top, top + crop), slice(left, left + crop)) for top in starts for left in starts)
