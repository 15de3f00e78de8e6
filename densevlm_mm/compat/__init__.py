"""The only rooms of this package that know a quirk of a third-party package, one file a quirk.

`install` runs when ``densevlm_mm`` is imported. It must run before mmdet or mmseg are imported (they import
``mmcv.ops`` at module level), and it stays cheap: it imports neither torch nor mmcv, mmdet or mmseg.
"""

from types import ModuleType

from densevlm_mm.compat.config_texts import remember_config_texts
from densevlm_mm.compat.import_hooks import when_imported
from densevlm_mm.compat.inferencer_loaders import find_loaders_of_inferencers
from densevlm_mm.compat.lvis_numpy import patch_lvis, patch_lvis_when_imported
from densevlm_mm.compat.mmcv_operators import install_mmcv_operators
from densevlm_mm.compat.package_metadata import patch_package_lookup

__all__ = ["install", "patch_lvis"]


def install() -> None:
    """Make mmengine, mmcv-lite, mmdet, mmseg and lvis work with the torch, numpy and setuptools at hand.

    Idempotent. Nothing is written to disk; every change is undone by ending the process.

    Example:
        >>> import densevlm_mm  # runs install()
        >>> import mmdet.models  # works with mmcv-lite
    """
    when_imported("torch", _install_torch_parts)  # importing it takes longer than all the rest
    patch_package_lookup()
    patch_lvis_when_imported()
    remember_config_texts()
    find_loaders_of_inferencers()


def _install_torch_parts(torch: ModuleType) -> None:
    """What needs torch; whoever needs it imports torch first, mmcv.ops too."""
    from densevlm_mm.compat.checkpoint_loading import allow_runner_checkpoints, install_checkpoint_reader

    install_mmcv_operators()
    allow_runner_checkpoints()
    install_checkpoint_reader()
