"""Drawing in every process of a test: mmengine 0.10.7's visualizers do nothing but in the main one.

Every method of ``Visualizer``, also those that only draw on an array and the property ``dataset_meta``, is wrapped by
``master_only``, so that a test with several processes has pictures of the main process's images alone.
https://github.com/open-mmlab/mmengine/issues/1081 (open in 0.10.7)
"""

from collections.abc import Iterator
from contextlib import contextmanager

import mmengine.dist.utils


@contextmanager
def drawing_in_this_process() -> Iterator[None]:
    """Let visualizers draw within the block, whatever the rank; files that they write must differ between processes."""
    original = mmengine.dist.utils.is_main_process
    mmengine.dist.utils.is_main_process = lambda group=None: True  # the global that master_only's wrappers look up
    try:
        yield
    finally:
        mmengine.dist.utils.is_main_process = original
