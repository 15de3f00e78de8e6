"""Decoupled region-language alignment, the loss of DenseVLM (arXiv 2412.06244, Sec. 3.3, Eq. 2-6)."""

from typing import Literal

import torch
from torch import Tensor, nn

from densevlm_mm.models.layers import text_similarity
from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.registry import MODELS

# R regions, K categories, D channels.

_EXCLUDED = -1e4  # a logit that softmax turns into exactly 0 in float32, and that keeps 0 * log(q) finite


@MODELS.register_module()
class DecoupledAlignmentLoss(nn.Module):
    """KL divergence between teacher and student category distributions, thing and stuff regions apart.

    The teacher retrieves a category for every region, ``c = argmax softmax(cos(F_P, T_P) / tau)`` over all K
    categories, and regions whose probability does not exceed ``theta`` are dropped (denoising). A region whose
    category is a thing is then contrasted with ``thing_contrast``, one whose category is stuff with
    ``stuff_contrast``; both distributions are restricted to that set. The default is row 4 of Table 3. Equation 5 of
    the paper prints the two cases swapped; Table 3 and the text fix their meaning.

    ===== ================= ================= =====================
    row   ``thing_contrast`` ``stuff_contrast`` meaning
    ===== ================= ================= =====================
    1     ``'all'``         ``'all'``         no decoupling
    2     ``'things'``      ``'stuff'``       both apart
    3     ``'all'``         ``'stuff'``       only stuff restricted
    4     ``'things'``      ``'all'``         DenseVLM
    ===== ================= ================= =====================

    Args:
        thing_contrast: Categories that a thing region is contrasted with.
        stuff_contrast: Categories that a stuff region is contrasted with.
        temperature: tau of the softmax over cosines (Sec. 3.2), positive.
        threshold: theta, in [0, 1). A region is kept if its highest probability is strictly greater (Table 12).
        reduction: ``'region'``, the mean over all kept regions (the paper), or ``'group'``, the mean over kept thing
            regions plus the mean over kept stuff regions (how the published weights were trained). Means are taken over
            all processes.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> loss = DecoupledAlignmentLoss()
        >>> out = loss(student_RD, text_KD, thing_mask_K, teacher_logits_RK)
        >>> out['loss'].backward()
    """

    inputs = ("text", "thing_mask", "teacher_logits")

    def __init__(
        self,
        thing_contrast: Literal["things", "all"] = "things",
        stuff_contrast: Literal["stuff", "all"] = "all",
        temperature: float = 0.01,
        threshold: float = 0.3,
        reduction: Literal["region", "group"] = "region",
    ) -> None:
        super().__init__()
        _check_choice("thing_contrast", thing_contrast, ("things", "all"))
        _check_choice("stuff_contrast", stuff_contrast, ("stuff", "all"))
        _check_choice("reduction", reduction, ("region", "group"))
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}; the paper uses 0.01.")
        if not 0 <= threshold < 1:
            raise ValueError(
                f"threshold is a probability in [0, 1), got {threshold}; the paper uses 0.3, 0 keeps all regions."
            )
        self.thing_contrast = thing_contrast
        self.stuff_contrast = stuff_contrast
        self.temperature = temperature
        self.threshold = threshold
        self.reduction = reduction

    def forward(self, features: Tensor, text: Tensor, thing_mask: Tensor, teacher_logits: Tensor) -> dict[str, Tensor]:
        """Compute the loss and the figures that tell how the denoising goes.

        Args:
            features: Student region features (R, D), not normalised.
            text: Student class embeddings (K, D); their norm is kept, it scales the student's logits.
            thing_mask: Boolean (K,), True for things.
            teacher_logits: Teacher cosines (R, K), before the temperature, constant for autograd.

        Returns:
            ``loss`` (scalar, 0 with a gradient of 0 if no region is kept), ``kept`` (share of regions kept),
            ``kept_stuff`` (share of the kept ones labelled stuff), ``confidence`` (mean highest probability over all
            regions).
        """
        teacher_RK = teacher_logits.detach().float() / self.temperature
        student_RK = text_similarity(features, text) / self.temperature

        confidence_R, label_R = teacher_RK.softmax(dim=-1).max(dim=-1)
        is_thing_R = thing_mask[label_R]
        kept_R = confidence_R > self.threshold

        excluded_RK = self._excluded(is_thing_R, thing_mask)
        log_p_RK = teacher_RK.masked_fill(excluded_RK, _EXCLUDED).log_softmax(dim=-1)
        log_q_RK = student_RK.masked_fill(excluded_RK, _EXCLUDED).log_softmax(dim=-1)
        divergence_R = (log_p_RK.exp() * (log_p_RK - log_q_RK)).sum(dim=-1)

        return dict(
            loss=self._reduce(divergence_R, kept_R, is_thing_R),
            **_denoising_figures(kept_R, is_thing_R, confidence_R),
        )

    def _excluded(self, is_thing_R: Tensor, thing_mask_K: Tensor) -> Tensor:
        """Categories outside a region's contrast set, boolean (R, K)."""
        nothing_K = torch.zeros_like(thing_mask_K)
        for_thing_K = ~thing_mask_K if self.thing_contrast == "things" else nothing_K
        for_stuff_K = thing_mask_K if self.stuff_contrast == "stuff" else nothing_K
        return torch.where(is_thing_R[:, None], for_thing_K, for_stuff_K)

    def _reduce(self, divergence_R: Tensor, kept_R: Tensor, is_thing_R: Tensor) -> Tensor:
        if self.reduction == "region":
            groups_GR = kept_R[None]
        else:
            groups_GR = torch.stack([kept_R & is_thing_R, kept_R & ~is_thing_R])
        sums_G = (divergence_R * groups_GR).sum(dim=1)
        return (sums_G / mean_over_processes(groups_GR.sum(dim=1))).sum()


def _denoising_figures(kept_R: Tensor, is_thing_R: Tensor, confidence_R: Tensor) -> dict[str, Tensor]:
    num_regions = max(len(kept_R), 1)
    num_kept = kept_R.sum()
    return dict(
        kept=num_kept / num_regions,
        kept_stuff=(kept_R & ~is_thing_R).sum() / num_kept.clamp(min=1),
        confidence=confidence_R.sum() / num_regions,
    )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
