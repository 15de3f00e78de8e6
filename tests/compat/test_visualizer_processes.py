import mmengine.dist.utils
import numpy as np
import pytest
from mmengine.visualization import Visualizer

from densevlm_mm.compat.visualizer_processes import drawing_in_this_process


def test_a_visualizer_draws_in_another_process_within_the_block_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mmengine.dist.utils, "is_main_process", lambda group=None: False)
    visualizer = Visualizer()
    image = np.zeros((4, 6, 3), np.uint8)
    visualizer.set_image(image)
    assert visualizer.get_image() is None  # mmengine's quirk
    with drawing_in_this_process():
        visualizer.set_image(image)
        assert visualizer.get_image().shape == image.shape
    assert visualizer.get_image() is None
