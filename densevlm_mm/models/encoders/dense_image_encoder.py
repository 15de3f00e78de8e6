"""The image encoder that everything in this package reads images with."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.model import BaseModule
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor, nn

from densevlm_mm.models.clip.architecture import ModelName, preprocess_tuples, resolve_architecture
from densevlm_mm.models.clip.encoder_parts import DENSE_BLOCKS, VALUE_GATE, EncoderParts
from densevlm_mm.models.clip.image_normalization import normalize_images
from densevlm_mm.models.clip.loading import load_strictly, load_visual
from densevlm_mm.models.encoders.dense_path import DensePath, DensePathConfig
from densevlm_mm.models.encoders.freezing import freeze, keep_in_eval
from densevlm_mm.models.encoders.towers import TransformerTower, adapter_for
from densevlm_mm.models.encoders.towers.base import unit_norm
from densevlm_mm.registry import MODELS


@MODELS.register_module()
class DenseImageEncoder(BaseModule):
    """An open_clip image tower that also gives a joint-space embedding at every position (Sec. 3.1, dense features).

    The weights are loaded here, in ``__init__``: ``init_weights()`` does nothing, since mmengine calls it before every
    training and timm's towers would start anew. Any input size works, square or not, with sides of at least one patch;
    remainders of a patch at the right and bottom are not seen.

    Example:
        >>> encoder = DenseImageEncoder("EVA02-B-16", "EVA02_CLIP_B_psz16_s8B.pt", trainable="blocks")
        >>> encoder.dense(torch.rand(1, 3, 512, 384)).shape
        torch.Size([1, 512, 32, 24])

    Args:
        model_name: The architecture by any of its names, see :func:`densevlm_mm.models.clip.resolve_model`; None takes
            it from ``clip_model``, or from a checkpoint that says it.
        checkpoint: The weights: path, folder in hub layout, URL, 'open_clip:<tag>', 'hf-hub:<org>/<repository>', or
            'random'.
        trainable: 'none' (nothing is recorded for autograd), 'blocks', 'query_value' or 'all', see
            :func:`densevlm_mm.models.encoders.freezing.freeze`.
        image_size: Input size in pixels, side or (height, width), that this encoder is meant to be used with; only
            reported as ``image_size``. None reports the tower's native size.
        clip_model: a built open_clip model (or anything with ``.visual``) to take the image tower from, instead of
            ``checkpoint``. The tower is shared, not copied; the text tower is not kept.
        unlocked_groups: With ``trainable='blocks'``, how many of the last blocks train.
        grad_checkpointing: Recompute blocks in the backward pass to save memory.
        dense_residual: What the last block's value path is added to: 'token' (DenseVLM) or 'cls' (CAT-Seg).
        dense_path: 'residual', the last block with residual and MLP (CLIPSelf, DenseVLM), or ``dict(type='values',
            layers=3, gate=False)``, the sum of the last layers' values (DenseRC), see :class:`DensePath`. None takes
            the path that the checkpoint was trained with, 'residual' if it does not say.
        train_pool_positions: With ``trainable='blocks'``, train the position embedding of a ResNet's pooling attention
            too, as the published program does; it stays frozen here, like all position embeddings.
        trust: Unpickle arbitrary objects from ``checkpoint``; this can run code from the file.
        init_cfg: Must be None; it is part of mmengine's interface.

    Attributes:
        visual: The open_clip image tower, so that ``state_dict()`` has open_clip's ``visual.*`` keys.
        embed_dim: Width D of the joint embedding space.
        width: Channels of the last block's output.
        stride: Pixels per position of the dense map.
        num_blocks: Number of blocks, or of stages for ResNet and ConvNeXt.
        dense_path: 'residual', or ``{'type': 'values', 'layers', 'gate'}``.
        value_gate: What weighs the heads of the values, from C to the heads; None without a gate.
        dense_blocks: The last blocks as dense features see them, where the tower's own, for global embeddings, are
            others (``tools/export_encoder.py --keep-global``); None where they are the same.
        image_size: Side in pixels, or (height, width) if not square.
        preprocess_cfg: open_clip's, of the weights: ``size``, ``mode``, ``mean``, ``std``, ``interpolation``,
            ``resize_mode``, ``fill_color``.
        model_name: open_clip name, 'custom' without one.
        model_cfg: open_clip config; empty if unknown.

    Raises:
        FileNotFoundError: If the checkpoint file does not exist.
        ValueError: If an argument is impossible, if weights and architecture do not fit, or if the architecture has no
            dense path.
    """

    def __init__(
        self,
        model_name: ModelName | None = None,
        checkpoint: str | None = None,
        trainable: str = "none",
        image_size: int | tuple[int, int] | None = None,
        clip_model: nn.Module | None = None,
        unlocked_groups: int | None = None,
        grad_checkpointing: bool = False,
        dense_residual: str = "token",
        dense_path: DensePathConfig | None = None,
        train_pool_positions: bool = False,
        trust: bool = False,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if init_cfg is not None:
            raise ValueError(
                f"DenseImageEncoder loads its weights from `checkpoint`; init_cfg must be None, got {init_cfg}"
            )
        if clip_model is not None and checkpoint is not None:
            raise ValueError(f"give either clip_model or checkpoint={checkpoint!r}, not both")
        source: Any = clip_model if clip_model is not None else load_visual(model_name, checkpoint, trust=trust)
        self.visual: nn.Module = clip_model.visual if clip_model is not None else source  # type: ignore[assignment]
        parts: EncoderParts = getattr(self.visual, "encoder_parts", EncoderParts())
        if clip_model is None:
            del self.visual.encoder_parts  # its tensors are copied
        self.model_name, self.model_cfg = self._describe(source, model_name)
        self.preprocess_cfg = self._preprocessing(self.visual)
        self.checkpoint = checkpoint
        self.trainable = trainable
        self._tower = adapter_for(self.visual)
        self._tower.grad_checkpointing = grad_checkpointing
        self._set_dense_residual(dense_residual)
        self._set_dense_path(DensePath.resolve(dense_path, parts.dense_path, str(checkpoint)), parts)
        self._set_dense_blocks(parts.part(DENSE_BLOCKS), trainable)
        self.embed_dim, self.width = self._tower.embed_dim, self._tower.width
        self.stride, self.num_blocks = self._tower.stride, self._tower.num_blocks
        self.image_size = self._reported_size(image_size)
        freeze(self._tower, trainable, unlocked_groups, train_pool_positions)
        if self.value_gate is not None:
            self.value_gate.requires_grad_(trainable in ("blocks", "all"))
        self.train(self.training)

    @staticmethod
    def _describe(source: nn.Module, model_name: ModelName | None) -> tuple[str, dict[str, Any]]:
        named = None if model_name is None else resolve_architecture(model_name)
        name = getattr(source, "model_name", None) or (named.name if named else "custom")
        cfg = getattr(source, "model_cfg", None) or (named.cfg if named else {})
        return name, cfg

    @staticmethod
    def _preprocessing(visual: nn.Module) -> dict[str, Any]:
        stated = getattr(visual, "preprocess_cfg", None) or {
            key: getattr(visual, f"image_{key}", None) for key in ("mean", "std", "size")
        }
        return merge_preprocess_dict(PreprocessCfg(), preprocess_tuples(stated))

    @property
    def blocks(self) -> list[nn.Module]:
        """The transformer blocks, or the stages of ResNet and ConvNeXt, first to last."""
        return self._tower.groups()

    @property
    def native_size(self) -> tuple[int, int]:
        """Height and width in pixels that the weights were trained at, whatever ``image_size`` reports."""
        return self._tower.native_size

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each RGB channel, 0-1 scale."""
        return self.preprocess_cfg["mean"]

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each RGB channel, 0-1 scale."""
        return self.preprocess_cfg["std"]

    @property
    def description(self) -> dict[str, Any]:
        """``{'model_name', 'model_cfg', 'preprocess_cfg'}``, as :func:`resolve_architecture` takes it."""
        return {"model_name": self.model_name, "model_cfg": self.model_cfg, "preprocess_cfg": self.preprocess_cfg}

    def _set_dense_residual(self, dense_residual: str) -> None:
        if dense_residual not in ("token", "cls"):
            raise ValueError(f"dense_residual must be 'token' or 'cls', got {dense_residual!r}")
        if isinstance(self._tower, TransformerTower):
            if dense_residual == "cls" and not (self._tower.has_class_token and self._tower.last_block_is_value_path):
                raise ValueError(
                    f"dense_residual='cls' needs a class token, which {self.model_name!r} does not pool by"
                )
            self._tower.dense_residual = dense_residual
        elif dense_residual == "cls":
            raise ValueError(f"dense_residual='cls' needs a transformer with a class token, {self.model_name!r} is not")

    def _set_dense_path(self, path: DensePath, parts: EncoderParts) -> None:
        self.dense_path = path.config
        self.value_gate = path.set_up(self._tower, self.model_name)
        stored = parts.part(VALUE_GATE)
        if self.value_gate is not None and (stored or parts.dense_path is not None):
            load_strictly(self.value_gate, stored, f"the value gate of {self.checkpoint!r}", self.model_name)
        elif stored:
            raise ValueError(
                f"checkpoint {self.checkpoint!r} holds a value gate, which dense_path={path.config} does not read: set "
                "its gate=True"
            )

    def _set_dense_blocks(self, stored: dict[str, Tensor], trainable: str) -> None:
        self.dense_blocks: nn.ModuleList | None = None
        if not stored:
            return
        count = 1 + max(int(name.split(".")[0]) for name in stored)
        blocks = self.blocks
        if not isinstance(self._tower, TransformerTower) or count > len(blocks) or trainable != "none":
            raise ValueError(
                f"checkpoint {self.checkpoint!r} was exported with --keep-global and holds {count} transformer blocks "
                f"for dense features alone: {self.model_name!r} has {len(blocks)} blocks, and trainable={trainable!r} "
                "must be 'none'. To train on, export without --keep-global"
            )
        self.dense_blocks = nn.ModuleList(copy.deepcopy(block) for block in blocks[-count:])
        load_strictly(self.dense_blocks, stored, f"the trained blocks of {self.checkpoint!r}", self.model_name)
        self._tower.dense_tail = list(self.dense_blocks)

    def _reported_size(self, image_size: int | tuple[int, int] | None) -> int | tuple[int, int]:
        if image_size is None:
            image_size = self._tower.native_size
        height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
        if min(height, width) < self.stride:
            raise ValueError(f"image_size={image_size} is smaller than one {self.stride} px patch")
        return height if height == width else (height, width)

    def init_weights(self) -> None:
        """Do nothing: the weights come from the checkpoint, in ``__init__``."""
        self._is_init = True

    def train(self, mode: bool = True) -> "DenseImageEncoder":
        """Set the mode; the tower never drops anything and frozen batch norms keep their statistics."""
        super().train(mode)
        for part in self.children():
            keep_in_eval(part, mode)
        return self

    def hold_weights_in(self, dtype: torch.dtype) -> None:
        """Hold weights of a frozen tower in a type that autocast would cast them to in every pass.

        Those of linear layers and convolutions, which then give the same values with half the memory; norms, position
        embeddings and whatever else autocast leaves alone stay as they are. From then on the tower needs autocast of
        this type.

        Args:
            dtype: ``torch.bfloat16`` or ``torch.float16``.

        Raises:
            ValueError: If a parameter trains, which would lose its small steps.
        """
        if any(p.requires_grad for p in self.parameters()):
            raise ValueError(f"weights that train (trainable={self.trainable!r}) are not held in {dtype}")
        for layer in self.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.to(dtype)

    def compile_blocks(self, **options: Any) -> None:
        """Run the blocks or stages through ``torch.compile`` from now on, one after another.

        Blocks of a tower share one compiled program, so that a tower of 24 takes no longer to compile than one of 2.
        What is compiled anew: the first block, whose input needs no gradient, the last one, and other shapes; with a
        fixed canvas and batch that is all.

        Args:
            **options: Of ``torch.compile``: ``backend``, ``mode``, ``dynamic``, ``fullgraph``.
        """
        self._tower.compile_options = options

    @contextmanager
    def _recording(self) -> Iterator[None]:
        """Record for autograd only if a parameter trains."""
        trains = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        with torch.set_grad_enabled(trains):
            yield

    def _blocks(self, out_indices: Sequence[int]) -> list[int]:
        indices = [index + self.num_blocks if index < 0 else index for index in out_indices]
        if not indices or not all(0 <= index < self.num_blocks for index in indices):
            raise ValueError(f"out_indices must name blocks 0..{self.num_blocks - 1}, got {tuple(out_indices)}")
        return indices

    def normalize(self, images: Tensor, max_value: float = 255) -> Tensor:
        """Normalise images as the encoder's weights were trained with, see :func:`normalize_images`.

        Args:
            images: RGB (..., 3, H, W), any dtype, from 0 to ``max_value``.
            max_value: White: 255 as images are read, 1 for those of ``torchvision.transforms.ToTensor``.

        Returns:
            ``(images / max_value - mean) / std``, float32.

        Raises:
            ValueError: If there are not three channels.
        """
        return normalize_images(images, self.mean, self.std, max_value)

    def forward(self, images: Tensor) -> Tensor:
        """Embed whole images, by the tower's ordinary attention and pooling.

        Args:
            images: (B, 3, H, W), RGB, normalised with ``mean`` and ``std``.

        Returns:
            (B, D), not normalised, as open_clip's ``encode_image``.

        Raises:
            ValueError: If the images are smaller than one patch.
        """
        with self._recording():
            return self._tower.embed_image(images)

    def dense(self, images: Tensor) -> Tensor:
        """Embed every position, by the dense path of the tower's family.

        Args:
            images: (B, 3, H, W), RGB, normalised with ``mean`` and ``std``.

        Returns:
            (B, D, H // stride, W // stride) float32, unit norm at every position, in channels-last memory order.

        Raises:
            ValueError: If the images are smaller than one patch.
        """
        with self._recording():
            return self._dense_map(self._tower.embed_densely(images, (), with_dense=True)[1])

    def features(self, images: Tensor, out_indices: Sequence[int]) -> list[Tensor]:
        """Return outputs of blocks on the dense path, before the final norm.

        The last block's is what the dense map is made of: its output in value-path form, or the sum of values.

        Args:
            images: (B, 3, H, W), RGB, normalised with ``mean`` and ``std``.
            out_indices: Block (or stage) numbers from 0; negative ones count from the end.

        Returns:
            (B, C, h, w) for each index, in the order asked for; class and register tokens are left out.

        Raises:
            ValueError: If the images are smaller than one patch or an index is out of range.
        """
        with self._recording():
            return self._tower.embed_densely(images, self._blocks(out_indices), with_dense=False)[0]

    def features_and_dense(
        self, images: Tensor, out_indices: Sequence[int], normalize: bool = True
    ) -> tuple[list[Tensor], Tensor]:
        """Return :meth:`features` and :meth:`dense` from one pass through the tower.

        Args:
            images: (B, 3, H, W), RGB, normalised with ``mean`` and ``std``.
            out_indices: Block (or stage) numbers from 0; negative ones count from the end.
            normalize: False returns the dense map as the visual projection gives it, in the tower's precision.

        Returns:
            The features, as :meth:`features`, and the dense map, as :meth:`dense`.

        Raises:
            ValueError: If the images are smaller than one patch or an index is out of range.
        """
        with self._recording():
            features, dense = self._tower.embed_densely(images, self._blocks(out_indices), with_dense=True)
            return features, self._dense_map(dense, normalize)

    def dense_and_global(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return :meth:`dense` and the global embedding of the same images, and run what they share once.

        Args:
            images: (B, 3, H, W), RGB, normalised with ``mean`` and ``std``.

        Returns:
            The dense map, as :meth:`dense`, and (B, D), as :meth:`forward`.

        Raises:
            ValueError: If the images are smaller than one patch.
        """
        with self._recording():
            dense, embedding = self._tower.embed_both(images)
            return self._dense_map(dense), embedding

    @staticmethod
    def _dense_map(dense: Tensor | None, normalize: bool = True) -> Tensor:
        assert dense is not None
        # The channels are normalised as the last axis, where they lie in memory.
        return unit_norm(dense.permute(0, 2, 3, 1)).permute(0, 3, 1, 2) if normalize else dense
