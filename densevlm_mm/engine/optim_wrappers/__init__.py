"""Optimizer wrappers and their constructors."""

from densevlm_mm.engine.optim_wrappers.autocast import AutocastOptimWrapper
from densevlm_mm.engine.optim_wrappers.finite import FiniteOptimWrapper
from densevlm_mm.engine.optim_wrappers.grouped_constructor import GroupedOptimWrapperConstructor

__all__ = ["AutocastOptimWrapper", "FiniteOptimWrapper", "GroupedOptimWrapperConstructor"]
