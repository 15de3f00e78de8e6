"""Decoupled region-language alignment, the loss of DenseVLM (arXiv 2412.06244, Sec. 3.2, Eq. 1-5)."""

from typing import Literal

import torch
from torch import Tensor

from densevlm_mm.models.layers import check_retrieval, exclude, retrieve, text_similarity
from densevlm_mm.models.losses.normalizer import mean_over_processes
from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.registry import MODELS

# B images, R regions, K categories, D channels, G groups of regions with a mean of their own.


@MODELS.register_module()
class DecoupledAlignmentLoss(PretrainingLoss):
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

    Regions become one number by ``reduction``; all means and counts are those of all processes:

    ============ ================================================================== =====================
    reduction    loss                                                               whose
    ============ ================================================================== =====================
    ``'image'``  of an image the mean over its kept regions; of a batch the mean    the paper (Sec. 3.2)
                 over its images, those without a kept region left out
    ``'group'``  the mean over the kept thing regions of the batch plus the mean    the published program
                 over its kept stuff regions
    ``'region'`` the mean over all kept regions of the batch: an image cut into     ours
                 6 x 6 cells weighs nine times one cut into 2 x 2
    ============ ================================================================== =====================

    Args:
        thing_contrast: Categories that a thing region is contrasted with.
        stuff_contrast: Categories that a stuff region is contrasted with.
        temperature: Tau of the softmax over cosines (Sec. 3.2), positive.
        threshold: Theta, in [0, 1). A region is kept if its highest probability is strictly greater (Table 12).
        reduction: ``'image'``, ``'group'`` or ``'region'``, see above.

    Raises:
        ValueError: If an argument is outside its range.

    Example:
        >>> loss = DecoupledAlignmentLoss()
        >>> image_index_R = torch.tensor([0, 0, 0, 1, 1])
        >>> out = loss(student_RD, text_KD, thing_mask_K, teacher_logits_RK, image_index_R, num_images=2)
        >>> out['loss'].backward()
    """

    inputs = ("text", "thing_mask", "teacher_logits", "image_index", "num_images")

    def __init__(
        self,
        thing_contrast: Literal["things", "all"] = "things",
        stuff_contrast: Literal["stuff", "all"] = "all",
        temperature: float = 0.01,
        threshold: float = 0.3,
        reduction: Literal["image", "group", "region"] = "image",
    ) -> None:
        super().__init__()
        _check_choice("thing_contrast", thing_contrast, ("things", "all"))
        _check_choice("stuff_contrast", stuff_contrast, ("stuff", "all"))
        _check_choice("reduction", reduction, ("image", "group", "region"))
        check_retrieval(temperature, threshold)
        self.thing_contrast = thing_contrast
        self.stuff_contrast = stuff_contrast
        self.temperature = temperature
        self.threshold = threshold
        self.reduction = reduction

    def forward(
        self,
        features: Tensor,
        text: Tensor,
        thing_mask: Tensor,
        teacher_logits: Tensor,
        image_index: Tensor,
        num_images: int,
    ) -> dict[str, Tensor]:
        """Compute the loss and the figures that tell how the denoising goes.

        Args:
            features: Student region features (R, D), not normalised.
            text: Student class embeddings (K, D); their norm is kept, it scales the student's logits.
            thing_mask: Boolean (K,), True for things.
            teacher_logits: Teacher cosines (R, K), before the temperature, constant for autograd.
            image_index: The image of each region (R,) int64, 0 to ``num_images`` - 1.
            num_images: Number of images on this process, those without a region included.

        Returns:
            ``loss`` (scalar, 0 with a gradient of 0 if no region is kept), ``kept`` (share of regions kept),
            ``kept_stuff`` (share of the kept ones labelled stuff), ``confidence`` (mean highest probability over all
            regions). Their means over processes are the figures of the whole batch.
        """
        label_R, confidence_R, kept_R = retrieve(teacher_logits.detach(), self.temperature, self.threshold)
        is_thing_R = thing_mask[label_R]
        divergence_R = self._divergence(features, text, thing_mask, teacher_logits.detach(), is_thing_R)

        weight_GR, size_G = self._groups(kept_R, is_thing_R, image_index, num_images)
        num_regions = torch.full_like(size_G[:1], len(kept_R))
        # DDP averages gradients, so denominators are means over processes too: mean of sums over mean of sizes.
        # One reduction over processes for all denominators.
        sizes = mean_over_processes(torch.cat([num_regions, kept_R.sum()[None], size_G]))
        return dict(
            loss=((divergence_R * weight_GR).sum(dim=1) / sizes[2:]).sum(),
            kept=kept_R.sum() / sizes[0],
            kept_stuff=(kept_R & ~is_thing_R).sum() / sizes[1],
            confidence=confidence_R.sum() / sizes[0],
        )

    def _divergence(
        self, features: Tensor, text: Tensor, thing_mask: Tensor, teacher_logits: Tensor, is_thing_R: Tensor
    ) -> Tensor:
        """KL divergence of each region over its contrast set, (R,)."""
        excluded_RK = self._excluded(is_thing_R, thing_mask)
        teacher_RK = teacher_logits.float() / self.temperature
        student_RK = text_similarity(features, text) / self.temperature
        log_p_RK = exclude(teacher_RK, excluded_RK).log_softmax(dim=-1)
        log_q_RK = exclude(student_RK, excluded_RK).log_softmax(dim=-1)
        return (log_p_RK.exp() * (log_p_RK - log_q_RK)).sum(dim=-1)

    def _excluded(self, is_thing_R: Tensor, thing_mask_K: Tensor) -> Tensor:
        """Categories outside a region's contrast set, boolean (R, K)."""
        nothing_K = torch.zeros_like(thing_mask_K)
        for_thing_K = ~thing_mask_K if self.thing_contrast == "things" else nothing_K
        for_stuff_K = thing_mask_K if self.stuff_contrast == "stuff" else nothing_K
        return torch.where(is_thing_R[:, None], for_thing_K, for_stuff_K)

    def _groups(
        self, kept_R: Tensor, is_thing_R: Tensor, image_index_R: Tensor, num_images: int
    ) -> tuple[Tensor, Tensor]:
        """Weights (G, R) and sizes (G,): the loss is the sum over G of weighted sums, each divided by its size."""
        if self.reduction == "image":
            kept_B = torch.zeros(num_images, device=kept_R.device).index_add_(0, image_index_R, kept_R.float())
            # An image without a kept region has no weight, so the clamp changes no figure; it keeps 0 / 0 out.
            weight_R = kept_R / kept_B[image_index_R].clamp(min=1)
            return weight_R[None], (kept_B > 0).sum()[None]
        if self.reduction == "region":
            groups_GR = kept_R[None]
        else:
            groups_GR = torch.stack([kept_R & is_thing_R, kept_R & ~is_thing_R])
        return groups_GR, groups_GR.sum(dim=1)


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")
