"""Registries of this package: children of mmengine's roots under the scope ``densevlm_mm``.

From a config whose scope is ``mmdet`` or ``mmseg`` the same components are reached as ``densevlm_mm.Name``.
The location of a registry is imported by its first lookup, so that importing the package stays cheap. Roots that we add
nothing to have a child too: without one, mmengine warns whenever a config of this scope uses them.
"""

from functools import cache
from importlib import import_module

from mmengine import registry as roots
from mmengine.registry import Registry

SCOPE = "densevlm_mm"
# Modules that register CLIP architectures with open_clip and timm, imported by the first lookup of an architecture.
ARCHITECTURE_LOCATIONS = [f"{SCOPE}.tiny_scenes.clip"]


@cache
def import_architectures() -> None:
    """Import the modules that register CLIP architectures; add yours to ``ARCHITECTURE_LOCATIONS``, or import it."""
    for location in ARCHITECTURE_LOCATIONS:
        import_module(location)


def _child(root: Registry, part: str) -> Registry:
    return Registry(root.name, parent=root, scope=SCOPE, locations=[f"{SCOPE}.{part}"])


DATA_SAMPLERS = _child(roots.DATA_SAMPLERS, "datasets")
DATASETS = _child(roots.DATASETS, "datasets")
EVALUATOR = _child(roots.EVALUATOR, "evaluation")
HOOKS = _child(roots.HOOKS, "engine")
LOG_PROCESSORS = _child(roots.LOG_PROCESSORS, "engine")
LOOPS = _child(roots.LOOPS, "engine")
METRICS = _child(roots.METRICS, "evaluation")
MODEL_WRAPPERS = _child(roots.MODEL_WRAPPERS, "models")
MODELS = _child(roots.MODELS, "models")
OPTIM_WRAPPER_CONSTRUCTORS = _child(roots.OPTIM_WRAPPER_CONSTRUCTORS, "engine")
OPTIM_WRAPPERS = _child(roots.OPTIM_WRAPPERS, "engine")
OPTIMIZERS = _child(roots.OPTIMIZERS, "engine")
PARAM_SCHEDULERS = _child(roots.PARAM_SCHEDULERS, "engine")
RUNNERS = _child(roots.RUNNERS, "engine")
TASK_UTILS = _child(roots.TASK_UTILS, "models")
TRANSFORMS = _child(roots.TRANSFORMS, "datasets.transforms")
VISBACKENDS = _child(roots.VISBACKENDS, "visualization")
VISUALIZERS = _child(roots.VISUALIZERS, "visualization")
WEIGHT_INITIALIZERS = _child(roots.WEIGHT_INITIALIZERS, "models")
