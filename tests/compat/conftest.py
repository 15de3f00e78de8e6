import densevlm_mm  # noqa: F401  (tests import mmcv.ops at module level: the stand-in has to be there first)
