"""A weighted sum of losses, each called with what it asks for."""

from collections.abc import Iterable, Mapping
from typing import Any, cast

from torch import Tensor, nn

from densevlm_mm.models.losses.pretraining_loss import PretrainingLoss
from densevlm_mm.registry import MODELS


@MODELS.register_module()
class WeightedLosses(PretrainingLoss):
    """Train with several losses at once.

    A feature that several parts ask for is computed once. A part of weight 0 is not built, not called, and nothing is
    computed for it: training is that without it, to the bit.

    Mind the scales: the divergence of DenseVLM divides cosines by a temperature of 0.01, which makes its gradient up to
    100 times that of a loss of cosines.

    Args:
        losses: Name to config of a :class:`PretrainingLoss`. Names stand in the log and, for losses with parameters, in
            checkpoints: ``loss_module.parts.<name>``.
        weights: Name to weight, at least 0; of the same names.

    Raises:
        ValueError: If losses and weights have other names, a weight is negative, all are 0, or a name contains
            ``loss`` or is no identifier.

    Example:
        >>> loss = dict(
        ...     type="WeightedLosses",
        ...     losses=dict(align=dict(type="DecoupledAlignmentLoss"), distill=dict(type="FeatureDistillationLoss")),
        ...     weights=dict(align=1.0, distill=10.0),
        ... )
    """

    def __init__(self, losses: dict[str, dict], weights: dict[str, float]) -> None:
        super().__init__()
        _check(losses, weights)
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        self.parts = nn.ModuleDict({name: MODELS.build(losses[name]) for name in self.weights})
        self.features = _union(part.features for part in self._parts().values())
        self.inputs = _union(part.inputs for part in self._parts().values())

    def _parts(self) -> dict[str, PretrainingLoss]:
        return cast(dict[str, PretrainingLoss], dict(self.parts.items()))

    def check_widths(self, student: int, teacher: int) -> None:
        """Let every part check the embedding widths; see :meth:`PretrainingLoss.check_widths`."""
        for part in self._parts().values():
            part.check_widths(student, teacher)

    def forward(self, *features: Tensor, **inputs: Any) -> dict[str, Tensor]:
        """Call every part.

        Args:
            features: In the order of :attr:`features`.
            inputs: By the names of :attr:`inputs`.

        Returns:
            For each part ``loss_<name>`` (weight times its loss), ``<name>_value`` (its loss without weight) and its
            figures as ``<name>_<figure>``.

        Raises:
            ValueError: If a part returns a figure whose name contains ``loss``, which would be minimised too.
        """
        by_name = dict(zip(self.features, features, strict=True))
        results: dict[str, Tensor] = {}
        for name, part in self._parts().items():
            outputs = part(
                *(by_name[feature] for feature in part.features), **{key: inputs[key] for key in part.inputs}
            )
            value = outputs.pop("loss")
            results[f"loss_{name}"] = self.weights[name] * value
            results[f"{name}_value"] = value.detach()
            results |= {f"{name}_{figure}": output for figure, output in outputs.items()}
            wrong = [figure for figure in outputs if "loss" in figure]
            if wrong:
                raise ValueError(
                    f"{type(part).__name__} returns a figure {wrong[0]!r}: mmengine adds up whatever has 'loss' in its "
                    "name, give it another one."
                )
        return results


def _union(names: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for group in names for name in group))


def _check(losses: Mapping[str, dict], weights: Mapping[str, float]) -> None:
    if set(losses) != set(weights):
        different = sorted(set(losses) ^ set(weights))[0]
        raise ValueError(f"losses and weights must have the same names; {different!r} is in one of them alone.")
    for name, weight in weights.items():
        if "loss" in name or not name.isidentifier():
            raise ValueError(
                f"{name!r} cannot name a loss: mmengine adds up every figure with 'loss' in its name, and names go "
                "into checkpoints. Take an identifier without 'loss'."
            )
        if not weight >= 0:
            raise ValueError(f"the weight of {name!r} must not be negative, got {weight}.")
    if not any(weights.values()):
        raise ValueError(f"all weights are 0, {dict(weights)}: there is nothing to train.")
