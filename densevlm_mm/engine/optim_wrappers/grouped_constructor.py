"""An optimizer with as many parameter groups as there are different settings."""

import difflib
import logging
from typing import Any

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS

_KEYS = (
    "bias_lr_mult",
    "bias_decay_mult",
    "norm_decay_mult",
    "flat_decay_mult",
    "dwconv_decay_mult",
    "dcn_offset_lr_mult",
    "custom_keys",
    "bypass_duplicate",
    "layer_decay",
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """``DefaultOptimWrapperConstructor`` that joins parameters of equal settings and leaves frozen ones out.

    mmengine makes a group of every single parameter once ``paramwise_cfg`` is given, so that the optimizer launches its
    kernels hundreds of times a step and the log has a line for each; two groups (with and without weight decay) do the
    same.

    ``paramwise_cfg=dict(layer_decay=0.75)`` lets the learning rate of a :class:`DenseImageEncoder`'s blocks fall from
    the last to the first: block i of n, counted from 0, has ``0.75 ** (n - i)`` times the rate of what stands on it, as
    in BEiT (arXiv 2106.08254).
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        for key in self.paramwise_cfg.keys() - set(_KEYS):
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(_KEYS)}."
            raise ValueError(f"optim_wrapper.paramwise_cfg has no {key!r}; {hint}")
        decay = self.paramwise_cfg.get("layer_decay", 1.0)
        if not 0 < decay <= 1:
            raise ValueError(f"optim_wrapper.paramwise_cfg.layer_decay must be above 0 and at most 1, not {decay}.")

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Collect the groups of a module and its children; join them at the top.

        Raises:
            ValueError: If no parameter of the model trains, or ``layer_decay`` finds no block of an encoder that does.
        """
        if prefix:  # a child, called by mmengine's recursion
            super().add_params(params, module, prefix=prefix, is_dcn_module=is_dcn_module)
            return
        logger, quiet = MMLogger.get_current_instance(), _WithoutParameterLines()
        logger.addFilter(quiet)
        try:
            super().add_params(params, module, prefix=prefix, is_dcn_module=is_dcn_module)
        finally:
            logger.removeFilter(quiet)
        if "layer_decay" in self.paramwise_cfg:
            self._decay_by_layer(params, module)
        params[:] = _join(params)
        if not params:
            raise ValueError("no parameter trains: set model.encoder.trainable='blocks' or 'all'.")
        for group in params:
            settings = {"lr": self.base_lr, "weight_decay": self.base_wd, **group}
            size = sum(p.numel() for p in settings.pop("params"))
            print_log(f"optimizer group: {size:,} parameters, {settings}", "current")

    def _decay_by_layer(self, groups: list[dict[str, Any]], model: nn.Module) -> None:
        decay = self.paramwise_cfg["layer_decay"]
        scales: dict[int, float] = {}
        for encoder in model.modules():
            if isinstance(encoder, DenseImageEncoder):
                for distance, block in enumerate(reversed(encoder.blocks), start=1):
                    scales |= {id(p): decay**distance for p in block.parameters() if p.requires_grad}
        if not scales or self.base_lr is None:
            raise ValueError(
                "optim_wrapper.paramwise_cfg.layer_decay is for the blocks of an encoder, and none trains: set "
                "model.backbone.encoder.trainable='blocks' and optim_wrapper.optimizer.lr, or leave it out."
            )
        for group in groups:  # one a parameter, as mmengine makes them
            for parameter in group["params"]:
                if id(parameter) in scales:
                    group["lr"] = group.get("lr", float(self.base_lr)) * scales[id(parameter)]


def _join(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    joined: dict[tuple, dict[str, Any]] = {}
    for group in groups:
        members = group["params"] if isinstance(group["params"], list) else [group["params"]]
        settings = {name: value for name, value in group.items() if name != "params"}
        trained = [p for p in members if p.requires_grad]
        if trained:
            joined.setdefault(tuple(sorted(settings.items())), dict(params=[], **settings))["params"] += trained
    return list(joined.values())


class _WithoutParameterLines(logging.Filter):
    """Drop mmengine's lines about single parameters; the groups are logged instead."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return "paramwise_options -- " not in message and "since its requires_grad=False" not in message
