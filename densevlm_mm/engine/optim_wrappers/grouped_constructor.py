"""An optimizer with as many parameter groups as there are different settings."""

import logging
from typing import Any

from mmengine.logging import MMLogger, print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from densevlm_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """``DefaultOptimWrapperConstructor`` that joins parameters of equal settings and leaves frozen ones out.

    mmengine makes a group of every single parameter once ``paramwise_cfg`` is given, so that the optimizer launches its
    kernels hundreds of times a step and the log has a line for each; two groups (with and without weight decay) do the
    same.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Collect the groups of a module and its children; join them at the top.

        Raises:
            ValueError: If no parameter of the model trains.
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
        params[:] = _join(params)
        if not params:
            raise ValueError("no parameter trains: set model.encoder.trainable='blocks' or 'all'.")
        for group in params:
            settings = {"lr": self.base_lr, "weight_decay": self.base_wd, **group}
            size = sum(p.numel() for p in settings.pop("params"))
            print_log(f"optimizer group: {size:,} parameters, {settings}", "current")


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
