"""Make mmdet and mmseg importable for every test, whatever it imports first; one default scope for all."""

import pytest
from mmengine.registry import init_default_scope

import densevlm_mm  # noqa: F401

pytest_plugins = ["tests.fixtures.processes", "tests.fixtures.stock_clips", "tests.fixtures.text_clips"]


@pytest.fixture(autouse=True)
def _default_scope() -> None:
    """Forget the scope that a Runner of an earlier test has left behind."""
    init_default_scope("densevlm_mm")
