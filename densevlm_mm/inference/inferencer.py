"""Open-vocabulary inference in a few lines: `OpenVocabularyInferencer`."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose, DefaultSampler, pseudo_collate
from mmengine.infer import BaseInferencer
from mmengine.registry import TRANSFORMS, DefaultScope
from torch import Tensor, nn
from torch.utils.data import DataLoader

from densevlm_mm.apis.components import component_class
from densevlm_mm.checkpoint_files import find_state_dict
from densevlm_mm.datasets.transforms import LoadImage
from densevlm_mm.engine.hooks.prepare_classes import prepare_classes
from densevlm_mm.inference.encoder_config import encoder_config
from densevlm_mm.inference.inputs import (
    InputDataset,
    LoadedImage,
    UnreadableImage,
    is_single,
    is_video,
    list_inputs,
    video_frames,
)
from densevlm_mm.inference.prediction import Prediction
from densevlm_mm.inference.similarity import SimilarityMaps
from densevlm_mm.inference.trained_config import class_metainfo, is_config, prediction_pipeline, trained_config
from densevlm_mm.models.clip import StateDictMismatch
from densevlm_mm.models.open_vocabulary import OpenVocabularyModel
from densevlm_mm.vocabulary.vocabulary import VocabularySource

DEFAULT_SCORE_THR = 0.3
DEFAULT_VOCABULARY = "coco_stuff_171"


class OpenVocabularyInferencer(BaseInferencer):
    """Find what one names in images: with an encoder alone, or with a trained detector or segmentor.

    Images are file paths, URLs, folders, videos, arrays (BGR, as cv2 and mmcv read them), PIL images, or lists of
    these. An encoder alone segments (the class of every position of its dense map), classifies regions, and shows where
    it sees a text.

    Args:
        model: Encoder weights by any of their names (an exported file, ``hf-hub:<org>/<repository>``, ...); or the
            config of a detector or segmentor, a path or a ``Config``.
        weights: Checkpoint of that config; None with an encoder alone.
        vocabulary: Names to look for: a list, a ``.txt`` or ``.json`` file, or the name of a packaged vocabulary. None:
            the config's; with an encoder alone ``coco_stuff_171``.
        device: Where to compute; None = the GPU if there is one.
        templates: With an encoder alone: prompt templates, see `densevlm_mm.vocabulary.templates`.
        input_size: With an encoder alone: longer side in pixels that images are resized to, see `encoder_config`.
        window: With an encoder alone: side of windows in pixels that slide over the resized image by half their side,
            for images that are large against the sizes that the encoder was trained with. None: the image as a whole.
        score_thr: Only detections with a higher score are returned.
        cfg_options: Dotted config keys to values, as ``--cfg-options`` gives them.

    Raises:
        FileNotFoundError: If a file does not exist.
        ValueError: If the checkpoint does not fit the config, an option is impossible, or is only for an encoder alone.

    Example:
        >>> see = OpenVocabularyInferencer('weights/densevlm_eva02_b16.safetensors')
        >>> see.set_vocabulary(['tram', 'delivery van', 'road', 'sky'])
        >>> result = see('street.jpg')
        >>> result.names, result.masks.shape
        (['road', 'sky', 'tram'], (3, 720, 1280))
    """

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        vocabulary: VocabularySource | None = None,
        *,
        device: str | torch.device | None = None,
        templates: str | Sequence[str] | None = None,
        input_size: int | None = None,
        window: int | None = None,
        score_thr: float = DEFAULT_SCORE_THR,
        cfg_options: dict[str, Any] | None = None,
    ) -> None:
        if not 0 <= score_thr <= 1:
            raise ValueError(f"the score threshold is a number in [0, 1], not {score_thr}")
        self.score_thr = score_thr
        for_encoder: dict[str, Any] = dict(templates=templates, input_size=input_size, window=window)
        if weights is None and not is_config(model):
            cfg = encoder_config(str(model), vocabulary=DEFAULT_VOCABULARY, **for_encoder)
            cfg.merge_from_dict(cfg_options or {})
        else:
            cfg = trained_config(model, weights, cfg_options, for_encoder)
        scope = cfg.get("default_scope", "mmengine")
        with DefaultScope.overwrite_default_scope(scope):
            super().__init__(cfg, cfg.get("load_from"), device and str(device), scope, show_progress=False)
        if vocabulary is not None:
            self.set_vocabulary(vocabulary)

    def _load_weights_to_model(self, model: nn.Module, checkpoint: dict | None, cfg: Config) -> None:
        """Load strictly: weights that are missing would be random ones."""
        if checkpoint is None:
            return
        mismatch = StateDictMismatch.between(model.state_dict(), find_state_dict(checkpoint, str(cfg.load_from)))
        if mismatch:
            raise ValueError(f"{cfg.load_from} does not fit {cfg.filename}: {mismatch}")
        model.load_state_dict(find_state_dict(checkpoint, str(cfg.load_from)))

    def _init_pipeline(self, cfg: Config) -> Callable:
        steps = prediction_pipeline(cfg)
        kinds = [component_class(cfg, TRANSFORMS, step) for step in steps]
        loads = [isinstance(kind, type) and issubclass(kind, LoadImageFromFile) for kind in kinds]
        self._loader = TRANSFORMS.build(steps[loads.index(True)]) if any(loads) else LoadImage()
        self._meta = class_metainfo(cfg)
        return Compose([step for step, is_loader in zip(steps, loads, strict=True) if not is_loader])

    def _init_visualizer(self, cfg: Config) -> None:
        """None is needed: predictions draw themselves."""

    @property
    def metainfo(self) -> dict[str, Any]:
        """What the config's data set says of its classes: ``classes``, ``palette``, ``novel_classes``."""
        return self._meta

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of what is looked for."""
        if isinstance(self.model, OpenVocabularyModel):
            return tuple(self.model.predicted_classes())
        return tuple(self._meta.get("classes") or ())

    def set_vocabulary(self, vocabulary: VocabularySource) -> None:
        """Look for other things from now on; the model stays as it is, and embeddings of text are kept.

        Args:
            vocabulary: Names, a ``.txt`` or ``.json`` file, or the name of a packaged vocabulary.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If the vocabulary is empty or unknown, or the model's classes are fixed.
        """
        model: Any = self.model
        if not isinstance(model, OpenVocabularyModel):
            raise ValueError(f"{type(model).__name__} has no vocabulary, its classes are fixed")
        model.set_vocabulary(vocabulary)
        prepare_classes(self.model, training=False)

    def __call__(  # type: ignore[override]
        self, inputs: Any, batch_size: int = 1
    ) -> Prediction | list[Prediction]:
        """Predict.

        Args:
            inputs: See the class.
            batch_size: Images of one size that follow each other go through the model together, so many at once.

        Returns:
            A prediction for an image, a list for a list, folder or video. :meth:`stream` is for long ones.

        Raises:
            ValueError: If an image cannot be read; names it.
        """
        results = []
        for result in self.stream(inputs, batch_size):
            if isinstance(result, UnreadableImage):
                message = result.reason if result.path in result.reason else f"{result.path}: {result.reason}"
                raise ValueError(message)
            results.append(result)
        return results[0] if is_single(inputs) else results

    def stream(
        self, inputs: Any, batch_size: int = 1, num_workers: int = 0, shard: bool = False
    ) -> Iterator[Prediction | UnreadableImage]:
        """Predict on one image after the other, without keeping them.

        Args:
            inputs: As :meth:`__call__`.
            batch_size: Likewise.
            num_workers: Processes that load files; videos are read by this one.
            shard: Of several processes each takes its share, as mmengine's ``DefaultSampler`` deals them.

        Yields:
            In the order of the images, predictions; an :class:`UnreadableImage` for each that cannot be read.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        prepare_classes(self.model, training=False)  # of several processes all have to, whatever their share is
        batch: list[LoadedImage] = []
        for item in self._load(inputs, num_workers, shard):
            fits = isinstance(item, LoadedImage) and (not batch or _input_shape(item) == _input_shape(batch[0]))
            if batch and not (fits and len(batch) < batch_size):
                yield from self._predict(batch)
                batch = []
            if isinstance(item, LoadedImage):
                batch.append(item)
            else:
                yield item
        yield from self._predict(batch)

    def _load(self, inputs: Any, num_workers: int, shard: bool) -> Iterator[LoadedImage | UnreadableImage]:
        items = inputs if isinstance(inputs, list | tuple) else [inputs]
        if any(map(is_video, items)):
            for item in items:
                images = video_frames(str(item)) if is_video(item) else list_inputs(item)
                for index, image in enumerate(images):
                    yield InputDataset((), self._loader, self.pipeline).load(image, index)
            return
        dataset = InputDataset(list_inputs(inputs), self._loader, self.pipeline)
        sampler = DefaultSampler(dataset, shuffle=False) if shard else None
        yield from DataLoader(dataset, batch_size=None, sampler=sampler, num_workers=num_workers, collate_fn=_as_it_is)

    def _predict(self, batch: Sequence[LoadedImage]) -> Iterator[Prediction]:
        if not batch:
            return
        for loaded in batch:
            loaded.data["data_samples"].set_metainfo(dict(img_path=loaded.path, output_name=loaded.name))
        samples = self.forward(self.collate_fn([loaded.data for loaded in batch]))
        for loaded, sample in zip(batch, samples, strict=True):
            rgb = np.ascontiguousarray(loaded.image[..., ::-1])
            yield Prediction.from_sample(sample, rgb, self._meta, self.score_thr)

    def _init_collate(self, cfg: Config) -> Callable:
        return pseudo_collate

    def classify(
        self, image: Any, *, boxes: Any = None, masks: Any = None, points: Any = None, score_thr: float = 0.0
    ) -> Prediction:
        """Say what given regions of an image are; for an encoder alone.

        Args:
            image: One image.
            boxes: (R, 4) x1, y1, x2, y2 in pixels of the image; or
            masks: (R, H, W) bool; or
            points: (R, 2) x, y.
            score_thr: Only regions with a higher probability are returned.

        Returns:
            The regions with the likeliest class each, and ``class_scores``, the probabilities of all.

        Raises:
            ValueError: If the model is a detector or segmentor, or regions are not as described.
        """
        inputs, rgb, path = self._encoder_input(image)
        regions = dict(boxes=boxes, masks=masks, points=points)
        given = {name: np.ascontiguousarray(value) for name, value in regions.items() if value is not None}
        _check_regions(given, rgb.shape[:2])
        with torch.no_grad():
            tensors = {name: torch.from_numpy(value) for name, value in given.items()}
            scores = self.model.classify_regions(inputs, **tensors).cpu().numpy()
        found = Prediction(
            rgb,
            path,
            self.classes,
            scores.argmax(axis=1),
            scores.max(axis=1),
            boxes=None if boxes is None else given["boxes"].astype(np.float32),
            instance_masks=None if masks is None else given["masks"].astype(bool),
            class_scores=scores,
            points=None if points is None else given["points"].astype(np.float32),
        )
        return found.above(score_thr) if score_thr > 0 else found

    def similarity(self, image: Any, texts: Sequence[str] | None = None) -> SimilarityMaps:
        """Show where an encoder alone sees texts.

        Args:
            image: One image.
            texts: Names or phrases; None: the vocabulary.

        Raises:
            ValueError: If the model is a detector or segmentor.
        """
        inputs, rgb, path = self._encoder_input(image)
        chosen = self.classes if texts is None else tuple(texts)
        with torch.no_grad():
            text = self.model.embed_texts(chosen)
            maps = self.model.cosines(self.model.extract_feat(inputs), text)
            maps = F.interpolate(maps.float(), rgb.shape[:2], mode="bilinear")[0].cpu().numpy()
        return SimilarityMaps(rgb, path, chosen, maps)

    def _encoder_input(self, image: Any) -> tuple[Tensor, np.ndarray, str]:
        if not hasattr(self.model, "classify_regions"):
            raise ValueError(
                f"{type(self.model).__name__} takes no regions and texts: build an OpenVocabularyInferencer of encoder "
                "weights alone"
            )
        if not is_single(image):
            raise ValueError("give one image, not a list, folder or video")
        (listed,) = list_inputs(image)
        loaded = InputDataset([listed], self._loader, self.pipeline)[0]
        if isinstance(loaded, UnreadableImage):
            raise ValueError(f"{loaded.path}: {loaded.reason}")
        data = self.model.data_preprocessor(self.collate_fn([loaded.data]), False)
        return data["inputs"], np.ascontiguousarray(loaded.image[..., ::-1]), loaded.path

    def visualize(self, inputs: list, preds: Sequence[Prediction], **options: Any) -> list[np.ndarray]:
        """Pictures of predictions; for mmengine."""
        return [prediction.picture() for prediction in preds]

    def postprocess(self, preds: Any, visualization: Any, return_datasample: bool = False, **options: Any) -> dict:
        """What mmengine's inferencers return; for mmengine."""
        return dict(predictions=preds, visualization=visualization)


def _check_regions(given: dict[str, np.ndarray], size: tuple[int, int]) -> None:
    shapes: dict[str, Callable[[tuple[int, ...]], bool]] = dict(
        boxes=lambda shape: shape[1:] == (4,),
        masks=lambda shape: shape[1:] == size,
        points=lambda shape: shape[1:] == (2,),
    )
    for name, value in given.items():
        if not shapes[name](value.shape):
            raise ValueError(f"{name} of shape {value.shape} are not of an image of {size[0]} x {size[1]} pixels")
        if not np.isfinite(value).all():
            raise ValueError(f"{name} have values that are not finite")


def _input_shape(loaded: LoadedImage) -> tuple[int, ...]:
    return tuple(loaded.data["inputs"].shape)


def _as_it_is(item: Any) -> Any:
    return item
