"""An optimizer with as many parameter groups as there are different settings."""

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from densevlm_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class GroupedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """``DefaultOptimWrapperConstructor`` that joins parameters of equal settings and leaves frozen ones out.

    mmengine makes a group of every single parameter once ``paramwise_cfg`` is given, so that the optimizer launches its
    kernels hundreds of times a step; two groups (with and without weight decay) do the same.
    """

    def add_params(
        self,
        params: list[dict[str, Any]],
        module: nn.Module,
        prefix: str = "",
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Collect the groups of a module and its children; join them at the top."""
        super().add_params(params, module, prefix=prefix, is_dcn_module=is_dcn_module)
        if prefix:
            return  # a child, called by mmengine's recursion
        groups: dict[tuple, dict[str, Any]] = {}
        for group in params:
            members = group.pop("params")
            trained = [p for p in (members if isinstance(members, list) else [members]) if p.requires_grad]
            if trained:
                joined = groups.setdefault(tuple(sorted(group.items())), dict(params=[], **group))
                joined["params"].extend(trained)
        if not groups:
            raise ValueError("no parameter trains: set model.encoder.trainable='blocks' or 'all'.")
        params[:] = groups.values()
