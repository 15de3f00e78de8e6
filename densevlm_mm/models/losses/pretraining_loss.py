"""What a loss says about itself, so that the pretrainer can call it."""

from torch import nn


class PretrainingLoss(nn.Module):
    """Base of the losses that :class:`RegionPretrainer` trains with.

    A loss is called as ``loss(*features, **inputs)`` and returns a dict of scalars: ``loss``, which is minimised, and
    figures, which are logged as means over processes. mmengine adds up every entry whose name contains ``loss``, so the
    name of a figure must not. DDP averages gradients: a mean over regions (or images) divides its sum by their
    :func:`mean_over_processes`, not by their number on this process, so that two processes learn what one with the
    doubled batch does. Randomness must follow from a seed, ``step`` and the image alone.

    Attributes:
        features: Student features that ``forward`` takes, positionally and in this order, see :class:`StudentFeatures`:
            ``'regions'`` (R, D), ``'region_tokens'`` (R, L, D), ``'dense'`` (B, D, h, w), ``'views'`` (B, D).
        inputs: What else it takes, by keyword. From the model: ``text`` (K, D), ``thing_mask`` (K,), ``step`` (int),
            ``image_index`` (R,) int64, the place in the batch of each region's image, and ``num_images`` (B, int). Any
            other name is a target: of ``data_sample.regions``, concatenated to (R, ...), or of the data sample,
            stacked to (B, ...); there also its metainfo, as a list of B values.

    Example:
        >>> class SmoothL1Distillation(PretrainingLoss):
        ...     inputs = ("teacher_features",)
        ...
        ...     def forward(self, features, teacher_features):
        ...         num_regions = mean_over_processes(torch.tensor(len(features)))
        ...         distance_RD = F.smooth_l1_loss(features, teacher_features, reduction="none")
        ...         return dict(loss=(distance_RD.mean(dim=1) / num_regions).sum())
    """

    features: tuple[str, ...] = ("regions",)
    inputs: tuple[str, ...] = ()

    def check_widths(self, student: int, teacher: int) -> None:
        """Check before training that the embedding widths of student and teacher fit; the default accepts all.

        Args:
            student: D of the student.
            teacher: D of the teacher whose features are among the inputs.

        Raises:
            ValueError: If they do not.
        """
