"""The frozen teacher (P-VLM) as a runner hook: it writes per-region targets into the batch before every step."""

from abc import ABCMeta, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.text import ClassEmbeddings, resolve_class_embeddings
from densevlm_mm.registry import MODELS


class RegionTeacherHook(Hook, metaclass=ABCMeta):
    """Base of the hooks that own a frozen teacher.

    The teacher lives in the hook alone: never in the student's state dict, optimizer or DDP wrapper. It runs without
    gradients on the batch that the student is about to see, so its outputs enter autograd as constants.

    Args:
        teacher: Config of a :class:`DenseImageEncoder`.
        class_embeddings: The teacher's embeddings of the training vocabulary, see :func:`resolve_class_embeddings`.
            ``None`` builds them from the vocabulary and prompts of ``model.class_embeddings`` with the teacher's text
            tower.
        with_text: Whether the hook's targets need class embeddings.
        dtype: Precision of the teacher's forward pass. ``'auto'`` follows the optimizer wrapper: its autocast type if
            it has one, else float32.
    """

    # After the timer hook, so that the teacher counts as computing and not as loading data.
    priority = "LOW"

    def __init__(
        self,
        teacher: dict,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        with_text: bool = True,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        if dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise ValueError(f"dtype must be 'auto', 'float32', 'bfloat16' or 'float16', got {dtype!r}.")
        if teacher.get("trainable", "none") != "none":
            raise ValueError(f"the teacher is frozen: leave out teacher.trainable={teacher['trainable']!r}.")
        self.teacher_cfg = teacher
        self.class_embeddings_cfg = class_embeddings
        self.with_text = with_text
        self.dtype = dtype

    def before_train(self, runner: Runner) -> None:
        """Build the teacher on the runner's device, and check its vocabulary against the student's."""
        self.device = torch.device(get_device())
        self.teacher = MODELS.build(self.teacher_cfg).to(self.device).eval().requires_grad_(False)
        self.autocast_dtype = self._autocast_dtype(runner)
        self.mean = 255 * torch.tensor(self.teacher.mean, device=self.device).view(3, 1, 1)
        self.std = 255 * torch.tensor(self.teacher.std, device=self.device).view(3, 1, 1)
        if self.with_text:
            self.text = self._resolve_text(runner)

    def _resolve_text(self, runner: Runner) -> Tensor:
        """Unit-norm teacher embeddings (K, D) of the vocabulary that the student learns."""
        cfg = self.class_embeddings_cfg
        if cfg is None:
            cfg = runner.cfg.model.get("class_embeddings")
            if not isinstance(cfg, dict) or "file" in cfg:
                raise ValueError(
                    f"{type(self).__name__} cannot take its vocabulary from model.class_embeddings={cfg!r}: files "
                    "hold the "
                    "embeddings of one model. Give the hook class_embeddings of the teacher."
                )
        embeddings = resolve_class_embeddings(
            cfg, model_name=self.teacher_cfg.get("model_name"), checkpoint=self.teacher_cfg.get("checkpoint")
        )
        embeddings.check_encoder(self.teacher.embed_dim, self.teacher.model_name)
        _check_same_vocabulary(embeddings, unwrap_model(runner.model).class_embeddings)
        return F.normalize(embeddings.embeddings.to(self.device), dim=-1)

    def _autocast_dtype(self, runner: Runner) -> torch.dtype:
        if self.dtype == "auto":
            dtype = getattr(runner.optim_wrapper, "cast_dtype", None)
            return dtype or torch.float32
        return getattr(torch, self.dtype)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Write the targets of every region into ``data_batch['data_samples'][i].regions``."""
        if data_batch is None:
            return
        # The canvas goes to the device once, for the teacher and for the student's preprocessor.
        images = torch.stack([image.to(self.device, non_blocking=True) for image in data_batch["inputs"]])
        data_batch["inputs"] = images
        boxes = [sample.regions.boxes_norm_xyxy for sample in data_batch["data_samples"]]
        enabled = self.autocast_dtype is not torch.float32
        with torch.no_grad(), torch.autocast(self.device.type, dtype=self.autocast_dtype, enabled=enabled):
            targets = self.compute_targets(images[:, [2, 1, 0]].float(), boxes)
        sizes = [len(b) for b in boxes]
        for name, values in targets.items():
            for sample, value in zip(data_batch["data_samples"], values.split(sizes), strict=True):
                sample.regions.set_field(value, name)

    def normalize(self, images: Tensor) -> Tensor:
        """Normalise RGB images in 0-255 as the teacher was trained."""
        return (images - self.mean) / self.std

    @abstractmethod
    def compute_targets(self, images: Tensor, boxes_norm_xyxy: list[Tensor]) -> dict[str, Tensor]:
        """Compute the targets of all regions of a batch.

        Args:
            images: RGB canvases (B, 3, S, S), float32 in 0-255.
            boxes_norm_xyxy: B tensors (R_i, 4), corners in [0, 1] of the canvas.

        Returns:
            Name of the target to tensor (sum R_i, ...).
        """


def _check_same_vocabulary(teacher: ClassEmbeddings, student: ClassEmbeddings | None) -> None:
    if student is None:
        return
    if teacher.classes != student.classes:
        different = [(t, s) for t, s in zip(teacher.classes, student.classes, strict=False) if t != s]
        detail = (
            f"first difference {different[0]}"
            if different
            else f"{len(teacher.classes)} and {len(student.classes)} classes"
        )
        raise ValueError(
            f"teacher and student name regions with different vocabularies ({detail}); give custom_hooks' "
            "class_embeddings and "
            "model.class_embeddings the same vocabulary."
        )
    if not torch.equal(teacher.thing_mask, student.thing_mask):
        raise ValueError(
            "teacher and student class embeddings have different thing flags; build both from one vocabulary."
        )
