"""Captions in a frozen text tower: targets of images that somebody has described."""

import hashlib
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.datasets.annotations.captions import load_captions
from densevlm_mm.engine.hooks.initial_student import check_trains
from densevlm_mm.engine.hooks.target import TargetHook
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.clip import build_tokenizer, same_model
from densevlm_mm.models.layers import View, check_view, view_box
from densevlm_mm.models.text.prompt_encoder import check_token_range, encode_tokens, needed_context, tokenize
from densevlm_mm.models.text.text_tower import TextTower
from densevlm_mm.registry import HOOKS
from densevlm_mm.structures import RegionDataSample

_SAMPLES = 1000  # images of the training data that are looked up before the first step


@HOOKS.register_module()
class CaptionHook(TargetHook):
    """Write one caption of each image, for :class:`CaptionContrastLoss`.

    - ``sample.caption_feature`` (D,) float32 of unit norm, by the frozen text tower of the student's CLIP; zeros for an
      image without a caption.
    - ``sample.caption_id`` int64, the same for the same caption; -1 without one.

    Which of its captions an image gets follows from (seed, epoch, image id) alone. Captions are annotations: a run with
    this hook does not keep the promise to need none.

    Args:
        captions: File in COCO's captions format, see :func:`load_captions`. Its images are those of the training data
            by id, else by file name.
        text_tower: ``dict(model_name=..., checkpoint=...)`` of the CLIP whose text tower encodes, for a student whose
            checkpoint has none. Default: those of ``model.encoder``.
        view: Write ``sample.view_norm_xyxy`` too, as :class:`RetentionHook` does, for a run without that hook:
            ``'centre'`` or ``'whole'``.
        seed: Seed of the captions; None takes the run's.

    Raises:
        ValueError: If an argument is impossible; before training, if the captions file is malformed or has no caption
            of the training images, the text tower is of another architecture than the student, or the student does not
            train.
        FileNotFoundError: Before training, if a file does not exist.

    Example:
        >>> default_hooks = dict(captions=dict(type='CaptionHook', captions='annotations/captions_train2017.json'))
    """

    priority = "LOW"
    image_targets: tuple[str, ...] = ("caption_feature", "caption_id", "view_norm_xyxy")

    def __init__(
        self, captions: str, text_tower: dict | None = None, view: View | None = None, seed: int | None = None
    ) -> None:
        if text_tower is not None and set(text_tower) != {"model_name", "checkpoint"}:
            raise ValueError(f"text_tower is dict(model_name=..., checkpoint=...), got keys {sorted(text_tower)}.")
        if seed is not None and seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        if view is None:
            self.image_targets = ("caption_feature", "caption_id")
        else:
            check_view(view)
        self.captions = captions
        self.text_tower = text_tower
        self.view: View | None = view
        self.seed = seed
        self._forget()

    def _forget(self) -> None:
        self._tower: Any = None
        self._texts: list[str] = []
        self._by_id: dict[int | str | None, tuple[str, tuple[int, ...]]] = {}
        self._by_name: dict[str, tuple[int, ...]] = {}

    def before_train(self, runner: Runner) -> None:
        """Read the captions, look up some of the training images, and build the text tower."""
        encoder = unwrap_model(runner.model).encoder
        check_trains(encoder, type(self).__name__)
        self._read_captions()
        self._check_images(runner.train_dataloader.dataset)
        self._build_tower(runner, encoder)
        self._num_batches = len(runner.train_dataloader)
        self._draw_seed = runner.seed if self.seed is None else self.seed
        self._min_side = encoder.stride

    def after_train(self, runner: Runner) -> None:
        """Free the text tower and the captions."""
        self._forget()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Write the targets into ``data_batch['data_samples']``."""
        if data_batch is None:
            return
        samples: Sequence[RegionDataSample] = data_batch["data_samples"]
        epoch = runner.iter // self._num_batches  # of either kind of loop
        ids = [self.draw(sample.img_id, sample.img_path, epoch) for sample in samples]
        targets = dict(caption_feature=self._embed(ids), caption_id=torch.tensor(ids))
        if self.view is not None:
            canvas_shape = data_batch["inputs"][0].shape[-2:]
            boxes = [view_box(sample.img_shape, canvas_shape, self.view, self._min_side) for sample in samples]
            targets["view_norm_xyxy"] = torch.stack(boxes)
        self.write_image_targets(samples, targets)

    def draw(self, img_id: int | str, img_path: str, epoch: int) -> int:
        """Choose a caption of an image.

        Args:
            img_id: Of the training data.
            img_path: Its file, which names it where the captions file has other ids.
            epoch: From 0.

        Returns:
            The caption's id, -1 if the image has none.
        """
        captions = self._captions_of(img_id, img_path)
        if not captions:
            return -1
        image = img_id if isinstance(img_id, int) and img_id >= 0 else _digest(str(img_id))
        words = np.random.SeedSequence([self._draw_seed, epoch, image]).generate_state(1)
        return captions[int(words[0]) % len(captions)]

    def _captions_of(self, img_id: int | str, img_path: str) -> tuple[int, ...]:
        by_id = self._by_id.get(img_id)
        return self._by_name.get(PurePath(img_path).name, ()) if by_id is None else by_id[1]

    def _read_captions(self) -> None:
        images = load_captions(self.captions)
        places = {text: place for place, text in enumerate(dict.fromkeys(c for i in images for c in i.captions))}
        self._texts = list(places)
        ids = [tuple(places[text] for text in image.captions) for image in images]
        names = [PurePath(image.path).name for image in images]
        self._by_id = {image.img_id: (name, own) for image, name, own in zip(images, names, ids, strict=True)}
        # A name that two folders have says nothing.
        self._by_name = dict(zip(names, ids, strict=True)) if len(set(names)) == len(names) else {}

    def _check_images(self, dataset: Any) -> None:
        rows = np.unique(np.linspace(0, len(dataset) - 1, min(_SAMPLES, len(dataset))).astype(int)).tolist()
        infos = [dataset.get_data_info(row) for row in rows]
        for info in infos:
            name, found = PurePath(info["img_path"]).name, self._by_id.get(info["img_id"], ("", ()))[0]
            if found and not (name.endswith(found) or found.endswith(name)):
                raise ValueError(
                    f"image {info['img_id']} is {name} in the training data and {found} in {self.captions}: the "
                    "captions are of other images."
                )
        num_known = sum(bool(self._captions_of(info["img_id"], info["img_path"])) for info in infos)
        if not num_known:
            raise ValueError(
                f"{self.captions} has no caption of the training images: its images are called "
                f"{next(iter(self._by_id))!r}, ..., those of the training {infos[0]['img_id']!r}, ..."
            )
        print_log(
            f"captions: {num_known} of {len(infos)} training images looked up in {self.captions} have one", "current"
        )

    def _build_tower(self, runner: Runner, encoder: Any) -> None:
        cfg = self.text_tower or runner.cfg.model.encoder
        with torch.random.fork_rng(devices=[]):
            tower = TextTower(cfg.get("model_name"), cfg.get("checkpoint"))
            if tower.is_random:
                raise ValueError(
                    f"{type(self).__name__} needs a trained text tower, and the weights of {tower.model_id} are drawn "
                    "anew: give the hook text_tower=dict(model_name=..., checkpoint=...)."
                )
            if encoder.model_cfg and not same_model(tower.name, encoder.model_cfg):
                raise ValueError(
                    f"{type(self).__name__}: the text tower of {tower.model_id} does not share a space with the "
                    f"student {encoder.model_name}: give the hook text_tower=dict(model_name=..., checkpoint=...) of "
                    "the student's CLIP."
                )
            self._tower = tower.model
        self._device = torch.device(get_device())
        self._tower.to(self._device).eval().requires_grad_(False)
        self._tokenizer = build_tokenizer(tower.name)

    def _embed(self, ids: Sequence[int]) -> Tensor:
        # In float32 and with an empty text where there is none: few tokens beside those of the images.
        tokens_BL = tokenize(self._tokenizer, ["" if place < 0 else self._texts[place] for place in ids])
        check_token_range(self._tower, tokens_BL)
        tokens_BL = tokens_BL[:, : needed_context(self._tower, tokens_BL)].to(self._device, non_blocking=True)
        has_caption_B = torch.tensor([place >= 0 for place in ids]).to(self._device, non_blocking=True)
        with torch.no_grad():
            features_BD = torch.nn.functional.normalize(encode_tokens(self._tower, tokens_BL).float(), dim=-1)
        return features_BD * has_caption_B[:, None]


def _digest(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
