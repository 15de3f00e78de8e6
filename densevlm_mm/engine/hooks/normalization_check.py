"""Say when images are normalised otherwise than the encoder's weights were trained with."""

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import nn

from densevlm_mm.engine.unwrap import unwrap_model
from densevlm_mm.registry import HOOKS


@HOOKS.register_module()
class NormalizationCheckHook(Hook):
    """Log a warning when a run starts if ``data_preprocessor`` and encoder disagree on mean or standard deviation.

    Detectors and SAN name both apart: another encoder (SigLIP, say) in the same config would see other images than
    those it was trained on. It is no error: the published F-ViT detectors normalise with ImageNet's values on purpose.
    """

    def before_run(self, runner: Runner) -> None:
        """Compare the values."""
        model = unwrap_model(runner.model)
        for name, expected in _expected(model):
            for key in ("mean", "std"):
                found = _values(model.data_preprocessor, key)
                wanted = [255 * value for value in expected[key]]
                if len(found) != len(wanted) or any(abs(f - w) > 0.01 for f, w in zip(found, wanted, strict=True)):
                    print_log(
                        f"model.data_preprocessor.{key} is {_rounded(found)}, but the weights of model.{name} were "
                        f"trained with {_rounded(wanted)}: right for the published F-ViT detectors on EVA-CLIP "
                        "(ImageNet's values), wrong for everything else",
                        "current",
                        level=30,
                    )


def _values(preprocessor: Any, key: str) -> list[float]:
    values = getattr(preprocessor, key, None)
    return [] if values is None else values.flatten().tolist()


def _rounded(values: list[float]) -> list[float] | None:
    return [round(value, 3) for value in values] or None


def _expected(model: nn.Module) -> Iterator[tuple[str, dict[str, Any]]]:
    """The outermost modules that know how their images are to be normalised."""
    for name, child in model.named_children():
        if isinstance(cfg := getattr(child, "preprocess_cfg", None), dict):
            yield name, cfg
        else:
            yield from ((f"{name}.{inner}", cfg) for inner, cfg in _expected(child))
