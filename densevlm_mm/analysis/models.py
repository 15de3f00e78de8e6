"""The encoders that are looked at: a config and a checkpoint, with image and text tower."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from densevlm_mm.apis import check_inputs, load_experiment, use_checkpoint
from densevlm_mm.models.clip import build_clip, build_tokenizer
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.pretrainers import RegionPretrainer
from densevlm_mm.models.text import (
    ClassEmbeddings,
    build_class_embeddings,
    complete_test_options,
    encode_prompts,
    resolve_class_embeddings,
)
from densevlm_mm.registry import MODELS
from densevlm_mm.vocabulary import Vocabulary


@dataclass(frozen=True)
class ModelSource:
    """What stands on a command line for one encoder.

    Args:
        name: What pictures and tables call it.
        checkpoint: Checkpoint of tools/train.py, or encoder weights in any published format.
        config: Config file of configs/densevlm or configs/tiny.
    """

    name: str
    checkpoint: str
    config: str


def parse_model_source(text: str, config: str | None) -> ModelSource:
    """Read ``[NAME=]CHECKPOINT[@CONFIG]``.

    Args:
        text: What the user wrote; a file of exactly this name is a checkpoint, whatever signs are in it.
        config: The config of checkpoints that name none.

    Returns:
        The source; without NAME it is called after the file, which for ``iter_300.pth`` includes the folder.

    Raises:
        ValueError: If a part is empty or there is no config.
    """
    name, checkpoint = "", text
    if not Path(text).exists():
        if "=" in text:
            name, _, checkpoint = text.partition("=")
        if "@" in checkpoint and not Path(checkpoint).exists():
            checkpoint, _, config = checkpoint.rpartition("@")
        if not checkpoint or ("=" in text and not name):
            raise ValueError(f"{text!r} is not of the form [NAME=]CHECKPOINT[@CONFIG]")
    if not config:
        raise ValueError(f"{text}: with which config? Give one before the checkpoints, or {text}@CONFIG")
    return ModelSource(name or default_name(checkpoint), checkpoint, config)


def default_name(file: str) -> str:
    """The file's name without suffix; in front of a runner's ``iter_300`` or ``epoch_6`` also its folder."""
    path = Path(file)
    is_runner_name = path.stem.startswith(("iter_", "epoch_", "last", "best_"))
    return f"{path.parent.name}/{path.stem}" if is_runner_name and path.parent.name else path.stem


def check_names(names: Sequence[str]) -> None:
    """Check that compared checkpoints can be told apart.

    Raises:
        ValueError: If a name occurs twice.
    """
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"two of the compared files would be called {twice[0]!r}: give names, as NAME=FILE")


def retrieval_settings(cfg: Config) -> tuple[float, float]:
    """Temperature and threshold that a config's loss retrieves categories with; the paper's 0.01 and 0.3 by default.

    Args:
        cfg: Its ``model.loss`` is looked at, and the parts of a ``WeightedLosses``.
    """
    loss = cfg.model.get("loss", {})
    parts = loss.get("losses", {}).values()
    retrieving = (part for part in parts if part.type.split(".")[-1] == "DecoupledAlignmentLoss")
    chosen = next(retrieving, loss)
    return chosen.get("temperature", 0.01), chosen.get("threshold", 0.3)


class AnalysisModel:
    """An encoder with the text tower that it speaks the language of, as its config uses them.

    Nothing is loaded before it is needed. A checkpoint of tools/train.py gives the ensembled weights that tools/test.py
    evaluates; its text tower is that of the config's own checkpoint, for training leaves text alone.

    Args:
        source: Config and checkpoint.
        cfg_options: Dotted config keys to values, as ``--cfg-options`` gives them.
        device: Default: the GPU if there is one.

    Raises:
        FileNotFoundError: If the config or a file that it needs does not exist.
        ValueError: If the config's model is not built around an encoder.

    Example:
        >>> source = ModelSource("EVA-CLIP", "weights/EVA02_CLIP_B_psz16_s8B.pt", "configs/densevlm/pretrain_coco.py")
        >>> model = AnalysisModel(source)
        >>> sky_HW = torch.einsum("d,dhw->hw", model.embed_texts(["sky"])[0], model.dense(canvas)[0].cpu())
    """

    def __init__(
        self, source: ModelSource, cfg_options: dict[str, Any] | None = None, device: str | torch.device | None = None
    ) -> None:
        self.name = source.name
        self.cfg = _experiment(source, cfg_options)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @property
    def _embeddings_cfg(self) -> dict[str, Any]:
        """The config's options of the evaluation vocabulary."""
        chosen = complete_test_options(
            self.cfg.model.get("test_class_embeddings"), self.cfg.model.get("class_embeddings")
        )
        if not isinstance(chosen, dict):
            raise ValueError(
                f"{self.cfg.filename} has neither model.test_class_embeddings nor model.class_embeddings: "
                "they say which vocabulary regions are classified into"
            )
        return dict(chosen)

    @cached_property
    def encoder(self) -> DenseImageEncoder:
        """The image encoder, frozen and on its device."""
        return MODELS.build(dict(self.cfg.model.encoder, trainable="none")).to(self.device).eval()

    @cached_property
    def _text_source(self) -> tuple[Any, str]:
        options = self._embeddings_cfg
        encoder = self.cfg.model.encoder
        model_name = options.get("model_name") or encoder.get("model_name")
        if model_name is None:  # the weights say it; how images are normalised is no matter of text
            model_name = {key: self.encoder.description[key] for key in ("model_name", "model_cfg")}
        return model_name, options.get("checkpoint") or encoder.checkpoint

    @cached_property
    def _text_tower(self) -> nn.Module:
        clip_model = build_clip(*self._text_source)
        clip_model.visual = nn.Identity()
        return clip_model.to(self.device)

    def _resolve(self, vocabulary: str | None = None, templates: str | None = None) -> ClassEmbeddings:
        options = self._embeddings_cfg
        if vocabulary is not None:
            options = {key: options[key] for key in options.keys() - {"file", "num_things", "extra_classes"}}
            options["vocabulary"] = vocabulary
        if templates is not None:
            options["templates"] = templates
        model_name, checkpoint = self._text_source
        return resolve_class_embeddings(options, model_name=model_name, checkpoint=checkpoint)

    def class_embeddings(self, vocabulary: str | None = None, templates: str | None = None) -> ClassEmbeddings:
        """Embeddings of the evaluation vocabulary, or of another one with the same prompts.

        Args:
            vocabulary: Packaged name or file; default: the config's.
            templates: Name of a template set; default: the config's.

        Raises:
            ValueError: If the vocabulary is unknown, or the embeddings in a file are not of this encoder.
        """
        embeddings = self._resolve(vocabulary, templates)
        embeddings.check_encoder(self.encoder.embed_dim, self.encoder.model_name)
        return embeddings

    def embed_texts(self, texts: Sequence[str], templates: str | None = None) -> Tensor:
        """Embed texts of one's own as if they were class names: averaged over the prompts of a template set.

        Args:
            texts: T names or phrases.
            templates: Name of a template set; ``'plain'`` takes the text as it is. Default: the config's.

        Returns:
            Unit vectors (T, D), on the CPU.

        Raises:
            ValueError: If a text has no token, or occurs twice.
        """
        self.check_tokens(texts)
        return build_class_embeddings(
            Vocabulary("texts", tuple(texts), tuple((text,) for text in texts)),
            self._text_source[0],
            templates=templates or self._embeddings_cfg.get("templates", "vild"),
            clip_model=self._text_tower,
        ).embeddings

    def embed_captions(self, captions: Sequence[str]) -> Tensor:
        """Embed sentences as they are.

        Returns:
            Unit vectors (T, D), on the CPU.
        """
        return encode_prompts(self._text_tower, build_tokenizer(self._text_source[0]), captions)

    def check_tokens(self, texts: Sequence[str]) -> None:
        """Check that the text tower gets to see something of every text.

        Raises:
            ValueError: If not; names the text.
        """
        tokenizer = build_tokenizer(self._text_source[0])
        tokens_TL = tokenizer(["", *texts])
        empty = (tokens_TL[1:] == tokens_TL[0]).all(dim=1)
        if empty.any():
            text = texts[int(empty.nonzero()[0])]
            raise ValueError(f"text {text!r} has no token, so nothing can be compared with it: give a word")

    @torch.no_grad()
    def dense(self, images: Tensor) -> Tensor:
        """Dense maps of images.

        Args:
            images: (B, 3, H, W) uint8 BGR, as the pipelines pack them.

        Returns:
            (B, D, h, w) float32, unit norm at every position, on the model's device.
        """
        return self.encoder.dense(self.encoder.normalize(images[:, [2, 1, 0]].to(self.device)))

    def build_pretrainer(self) -> RegionPretrainer:
        """The config's model, which classifies annotated regions in ``test_step``."""
        _ = self._embeddings_cfg  # without which there is nothing to classify into
        return MODELS.build(self.cfg.model).to(self.device).eval()


def _experiment(source: ModelSource, cfg_options: dict[str, Any] | None) -> Config:
    """Read the config and put the checkpoint into ``model.encoder``, whatever kind it is."""
    cfg = load_experiment(source.config, cfg_options)
    if "encoder" not in cfg.get("model", {}):
        raise ValueError(
            f"{source.config} is not a config of configs/densevlm or configs/tiny: its model has no encoder"
        )
    configured = cfg.model.encoder.get("checkpoint")
    cfg.load_from = None
    use_checkpoint(cfg, source.checkpoint)
    if cfg.load_from is not None:
        for key in ("class_embeddings", "test_class_embeddings"):
            if isinstance(cfg.model.get(key), dict) and "file" not in cfg.model[key]:
                cfg.model[key].setdefault("checkpoint", configured)
        cfg.model.encoder.checkpoint = cfg.load_from
        cfg.load_from = None
    check_inputs(Config(dict(model=cfg.model), filename=cfg.filename), "test")
    init_default_scope(cfg.get("default_scope", "densevlm_mm"))
    return cfg
