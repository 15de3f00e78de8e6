"""Make mmdet and mmseg importable for every test, whatever it imports first."""

import densevlm_mm  # noqa: F401
