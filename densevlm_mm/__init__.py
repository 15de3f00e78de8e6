"""DenseVLM as an OpenMMLab plugin: unbiased region-language alignment for dense prediction."""

from densevlm_mm.compat import install as _install_compat

_install_compat()  # before any mmdet or mmseg import: they import mmcv.ops at module level

from densevlm_mm import registry as registry  # noqa: E402

__version__ = "0.1.0"
