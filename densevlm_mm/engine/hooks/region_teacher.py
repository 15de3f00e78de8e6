"""The frozen teacher (P-VLM) of regions."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from mmengine.runner import Runner
from torch import Tensor

from densevlm_mm.engine.hooks.teacher import TeacherHook
from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.models.text import ClassEmbeddings, resolve_class_embeddings
from densevlm_mm.structures import RegionDataSample


class RegionTeacherHook(TeacherHook):
    """Base of the hooks whose teacher computes targets of regions.

    On the CPU in float32 the teacher takes the images one by one. The rounding of a matrix product depends on the
    number of its rows, and so an image's targets on the batch that it is in; one by one they follow from the image and
    its grid to the bit, whatever the batch size and the number of processes, and can be kept for other runs (see
    :class:`CachedRegionTeacherHook`). Everywhere else the teacher takes whole batches, which round as they like.

    Args:
        teacher: See :class:`TeacherHook`. With ``with_text`` its ``embed_dim`` and ``model_name`` are held against the
            class embeddings.
        class_embeddings: The teacher's embeddings of the training vocabulary, see :func:`resolve_class_embeddings`.
            ``None`` builds them from the vocabulary and prompts of ``model.class_embeddings`` with the teacher's text
            tower.
        with_text: Whether the hook's targets need class embeddings.
        dtype: See :class:`TeacherHook`.
    """

    def __init__(
        self,
        teacher: dict,
        class_embeddings: dict | str | ClassEmbeddings | None = None,
        with_text: bool = True,
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    ) -> None:
        super().__init__(teacher, dtype)
        self.class_embeddings_cfg = class_embeddings
        self.embeddings: Any = None  # ClassEmbeddings with text, while training
        self.with_text = with_text
        if with_text:
            self.asks_of_teacher = (*self.asks_of_teacher, "embed_dim", "model_name")

    def before_train(self, runner: Runner) -> None:
        """Build the teacher, and check its vocabulary against the student's."""
        super().before_train(runner)
        if self.with_text:
            self.resolve_text(runner)

    def build_teacher(self, runner: Runner) -> None:
        """Build the teacher; see :meth:`TeacherHook.build_teacher`."""
        super().build_teacher(runner)
        self._check_embeddings()

    def _check_embeddings(self) -> None:
        if self.teacher is not None and self.embeddings is not None:
            self.embeddings.check_encoder(self.teacher.embed_dim, self.teacher.model_name)

    @property
    def takes_single_images(self) -> bool:
        """Whether the teacher takes the images of a batch one by one."""
        return self.device.type == "cpu" and self.autocast_dtype is torch.float32

    def resolve_text(self, runner: Runner) -> None:
        """Set ``text``, unit-norm teacher embeddings (K, D) of the vocabulary that the student learns.

        Raises:
            ValueError: If they are not of the teacher, where that is built, or not of the student's vocabulary.
        """
        cfg = self.class_embeddings_cfg
        if cfg is None:
            cfg = runner.cfg.model.get("class_embeddings")
            if not isinstance(cfg, dict) or "file" in cfg:
                raise ValueError(
                    f"{type(self).__name__} cannot take its vocabulary from model.class_embeddings={cfg!r}: files "
                    "hold the embeddings of one model. Give the hook class_embeddings of the teacher."
                )
        embeddings = resolve_class_embeddings(
            cfg, model_name=self.teacher_cfg.get("model_name"), checkpoint=self.teacher_cfg.get("checkpoint")
        )
        self.embeddings = embeddings
        self._check_embeddings()
        _check_same_vocabulary(embeddings, unwrap_model(runner.model).class_embeddings)
        self.text = F.normalize(embeddings.embeddings.to(self.device), dim=-1)

    def write_targets(self, images: Tensor, data_samples: Sequence[RegionDataSample]) -> None:
        """Write ``region_targets`` into ``regions`` of the data samples."""
        boxes = [sample.regions.boxes_norm_xyxy for sample in data_samples]
        size = 1 if self.takes_single_images else len(images)
        parts = [
            self.compute_targets(images[start : start + size], boxes[start : start + size])
            for start in range(0, len(images), size)
        ]
        targets = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
        self.write_region_targets(data_samples, targets)

    @abstractmethod
    def compute_targets(self, images: Tensor, boxes_norm_xyxy: Sequence[Tensor]) -> dict[str, Tensor]:
        """Compute the targets of any regions of images.

        A region's targets follow from its image and its box alone. So they may as well be computed once for all cells
        that an image can have, and those of a step be selected by ``regions.cell_ids``.

        Args:
            images: RGB canvases (B, 3, S, S), float32 in 0-255, for ``self.teacher.normalize``.
            boxes_norm_xyxy: B tensors (R_i, 4), corners in [0, 1] of the canvas.

        Returns:
            Name of the target to tensor (sum R_i, ...), in the order of the images.
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
            f"teacher and student name regions with different vocabularies ({detail}); give the hook's "
            "class_embeddings and model.class_embeddings the same vocabulary."
        )
    if not torch.equal(teacher.thing_mask, student.thing_mask):
        raise ValueError(
            "teacher and student class embeddings have different thing flags; build both from one vocabulary."
        )
