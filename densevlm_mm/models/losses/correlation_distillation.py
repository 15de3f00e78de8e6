"""Distillation of the similarities between positions, so that a map stays coherent."""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from densevlm_mm.models.layers import exclude
from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.registry import MODELS

# G groups of positions (regions or images), L positions of each, D channels.

_SMALLEST_RANGE = 1e-6


@MODELS.register_module()
class CorrelationDistillationLoss(PretrainingLoss):
    """Hold the cosines between positions of the student's map to those of a frozen model.

    Which positions belong together is held, not what they mean: the maps may have other widths, and the loss does not
    change if the student's embedding is rotated. The idea is that of arXiv 2504.02328 (within regions, the initial CLIP
    as teacher) and of DeCLIP, arXiv 2505.04410 (whole images, DINOv2); none of it is part of the DenseVLM paper.

    With ``S_ij`` the student's cosines and ``T_ij`` the teacher's, ``i`` unlike ``j``:

    ========= =======================================================================================
    ``kind``  loss
    ========= =======================================================================================
    ``'kl'``  mean over ``i`` of the divergence of ``softmax_j(m(S_ij) / tau)`` from ``softmax_j(m(T_ij) / tau)``;
              ``relative``: ``m`` maps each row to [0, 1] by its minimum and range, both without gradient
    ``'mse'`` mean over pairs of ``(S_ij - T_ij) ** 2``
    ========= =======================================================================================

    Row-wise scaling and tau 0.2 follow the public description of UniRefiner (arXiv 2605.19622); what arXiv 2504.02328
    itself uses is not known to us. All means are those of all processes. Positions that the hook marks as invalid
    (padding, regions of less than two cells a side) are neither ``i`` nor ``j``; a position with fewer than two valid
    others is left out.

    Args:
        scope: ``'region'``, between the tokens of a region, or ``'image'``, between the positions of an image; that of
            the :class:`CorrelationTeacherHook`.
        kind: ``'kl'`` or ``'mse'``.
        temperature: Tau of ``'kl'``, positive.
        relative: See above; for ``'kl'`` alone.
        max_positions: Of an image with more positions so many are drawn, from ``(seed, step, img_id)`` alone.
        seed: Of the drawing.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> loss = CorrelationDistillationLoss()
        >>> valid_RL = torch.ones(5, 16, dtype=torch.bool)
        >>> out = loss(student_RLD, teacher_tokens=teacher_RLD, teacher_tokens_valid=valid_RL)
        >>> out['loss'].backward()
    """

    def __init__(
        self,
        scope: Literal["region", "image"] = "region",
        kind: Literal["kl", "mse"] = "kl",
        temperature: float = 0.2,
        relative: bool = True,
        max_positions: int = 1024,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if scope not in ("region", "image"):
            raise ValueError(f"scope must be 'region' or 'image', got {scope!r}.")
        if kind not in ("kl", "mse"):
            raise ValueError(f"kind must be 'kl' or 'mse', got {kind!r}.")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}.")
        if max_positions < 3:
            raise ValueError(f"max_positions must be at least 3, a position and two others, got {max_positions}.")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}.")
        self.scope, self.kind = scope, kind
        self.temperature = temperature
        self.relative = relative
        self.max_positions = max_positions
        self.seed = seed
        if scope == "image":
            self.features = ("dense",)
            self.inputs = ("teacher_map", "teacher_map_valid", "img_id", "step")
        else:
            self.features = ("region_tokens",)
            self.inputs = ("teacher_tokens", "teacher_tokens_valid")

    def forward(self, features: Tensor, **targets: Any) -> dict[str, Tensor]:
        """Compute the loss.

        Args:
            features: Of the student: tokens of regions (R, L, D) or, for images, dense maps (B, D, h, w); any norm.
            targets: For regions ``teacher_tokens`` (R, L, D of the teacher) and ``teacher_tokens_valid`` (R, L) bool.
                For images ``teacher_map`` (B, D of the teacher, h, w), ``teacher_map_valid`` (B, h, w) bool, ``img_id``
                (B values) and ``step`` (int).

        Returns:
            ``loss``, 0 with a gradient of 0 if nothing is left, and ``kept``, the share of regions (of images) that
            have a position with two valid others.

        Raises:
            ValueError: If student and teacher have other positions.
        """
        if self.scope == "image":
            student_GLD, teacher_GLD, valid_GL = self._positions(features, **targets)
        else:
            student_GLD = features
            teacher_GLD, valid_GL = targets["teacher_tokens"], targets["teacher_tokens_valid"]
        _check_positions(student_GLD, teacher_GLD, self.scope)
        student_GLL, teacher_GLL = _cosines(student_GLD), _cosines(teacher_GLD.detach())
        pairs_GLL = valid_GL[:, :, None] & valid_GL[:, None, :]
        pairs_GLL = pairs_GLL & ~torch.eye(pairs_GLL.shape[-1], dtype=torch.bool, device=pairs_GLL.device)
        rows_GL = pairs_GLL.sum(dim=-1) >= 2
        pairs_GLL = pairs_GLL & rows_GL[:, :, None]
        if self.kind == "mse":
            terms, taken = (student_GLL - teacher_GLL).square(), pairs_GLL
        else:
            terms, taken = self._divergence(student_GLL, teacher_GLL, pairs_GLL), rows_GL
        num_terms = taken.sum()
        counts = torch.stack([num_terms, torch.full_like(num_terms, len(rows_GL))])
        num_terms, num_groups = mean_over_processes(counts)
        return dict(loss=(terms * taken).sum() / num_terms, kept=rows_GL.any(dim=-1).sum() / num_groups)

    def _positions(
        self, dense: Tensor, teacher_map: Tensor, teacher_map_valid: Tensor, img_id: Sequence[Any], step: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Positions of every image in one row, some of them if there are too many."""
        if dense.shape[-2:] != teacher_map.shape[-2:]:
            raise ValueError(
                f"the student's map has {tuple(dense.shape[-2:])} positions and the teacher's "
                f"{tuple(teacher_map.shape[-2:])}: they must have the same."
            )
        student, teacher = (maps.flatten(2).transpose(1, 2) for maps in (dense, teacher_map))
        valid = teacher_map_valid.flatten(1)
        if valid.shape[1] <= self.max_positions:
            return student, teacher, valid
        draws = np.stack([self._draws(image, step, valid.shape[1]) for image in img_id])
        # Draws lie in [0, 1): valid positions come first.
        priority = torch.from_numpy(draws).float().to(valid.device, non_blocking=True) + valid
        chosen = priority.argsort(dim=1, descending=True, stable=True)[:, : self.max_positions]
        student, teacher = (
            tokens.gather(1, chosen[:, :, None].expand(-1, -1, tokens.shape[2])) for tokens in (student, teacher)
        )
        return student, teacher, valid.gather(1, chosen)

    def _draws(self, img_id: Any, step: int, number: int) -> np.ndarray:
        """Uniform numbers of an image and a step; ids may be names."""
        image = int.from_bytes(hashlib.sha256(str(img_id).encode()).digest()[:8], "big")
        # numpy's RandomState never changes its streams (NEP 19): a run resumes with the same draws after an upgrade.
        generator = np.random.RandomState(np.random.MT19937(np.random.SeedSequence([self.seed, int(step), image])))
        return generator.random_sample(number)

    def _divergence(self, student_GLL: Tensor, teacher_GLL: Tensor, pairs_GLL: Tensor) -> Tensor:
        """KL divergence of each row, (G, L); of a row without pairs it says nothing, and is finite."""
        log_p, log_q = (
            exclude(self._scaled(cosines, pairs_GLL) / self.temperature, ~pairs_GLL).log_softmax(dim=-1)
            for cosines in (teacher_GLL, student_GLL)
        )
        return (log_p.exp() * (log_p - log_q)).sum(dim=-1)

    def _scaled(self, cosines_GLL: Tensor, pairs_GLL: Tensor) -> Tensor:
        if not self.relative:
            return cosines_GLL
        fixed = cosines_GLL.detach()
        lowest = fixed.masked_fill(~pairs_GLL, torch.inf).amin(dim=-1, keepdim=True)
        highest = fixed.masked_fill(~pairs_GLL, -torch.inf).amax(dim=-1, keepdim=True)
        has_pairs = pairs_GLL.any(dim=-1, keepdim=True)
        lowest = torch.where(has_pairs, lowest, 0)
        span = torch.where(has_pairs, highest - lowest, 1).clamp(min=_SMALLEST_RANGE)
        return (cosines_GLL - lowest) / span


def _cosines(tokens_GLD: Tensor) -> Tensor:
    """Cosines between all positions of a group (G, L, L) float32."""
    with torch.autocast(tokens_GLD.device.type, enabled=False):
        unit_GLD = F.normalize(tokens_GLD.float(), dim=-1)
        return unit_GLD @ unit_GLD.transpose(1, 2)


def _check_positions(student_GLD: Tensor, teacher_GLD: Tensor, scope: str) -> None:
    if student_GLD.shape[:2] != teacher_GLD.shape[:2]:
        raise ValueError(
            f"the student has {tuple(student_GLD.shape[:2])} ({scope}s, positions) and the teacher "
            f"{tuple(teacher_GLD.shape[:2])}: they must have the same, see model.token_size."
        )
