"""The classes that a config names, and what they can do."""

from typing import Any

from mmengine.config import Config
from mmengine.registry import Registry


def component_class(cfg: Config, registry: Registry, options: Any) -> type | None:
    """Look the class of a component up, as the run will; None if nothing has registered it.

    Args:
        cfg: The experiment; its ``default_scope`` counts.
        registry: Root registry of the kind of component.
        options: The component's config, with ``type``.
    """
    kind = options["type"]
    if not isinstance(kind, str):
        return kind
    with registry.switch_scope_and_registry(cfg.get("default_scope")) as scoped:
        return scoped.get(kind)
