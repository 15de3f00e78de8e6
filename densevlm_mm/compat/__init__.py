"""The only rooms of this package that know a quirk of a third-party package, one file a quirk.

`install` runs when ``densevlm_mm`` is imported. It must run before mmdet or mmseg are imported (they import
``mmcv.ops`` at module level), and it stays cheap: it imports neither mmcv nor mmdet nor mmseg unless mmcv is compiled.
"""

from densevlm_mm.compat.checkpoint_loading import allow_runner_checkpoints, install_checkpoint_reader
from densevlm_mm.compat.cpu_distributed import adapt_config_to_cpu, init_cpu_process_group
from densevlm_mm.compat.inferencer_loaders import find_loaders_of_inferencers
from densevlm_mm.compat.lvis_numpy import patch_lvis, patch_lvis_when_imported
from densevlm_mm.compat.mmcv_operators import install_mmcv_operators
from densevlm_mm.compat.package_metadata import patch_package_lookup

__all__ = ["adapt_config_to_cpu", "init_cpu_process_group", "install", "patch_lvis"]


def install() -> None:
    """Make mmengine, mmcv-lite, mmdet, mmseg and lvis work with the torch, numpy and setuptools at hand.

    Idempotent. Nothing is written to disk; every change is undone by ending the process.

    Example:
        >>> import densevlm_mm  # runs install()
        >>> import mmdet.models  # works with mmcv-lite
    """
    install_mmcv_operators()
    allow_runner_checkpoints()
    install_checkpoint_reader()
    patch_package_lookup()
    patch_lvis_when_imported()
    find_loaders_of_inferencers()
