"""Pictures of detections while validating and testing.

Not imported by ``densevlm_mm.engine``, since pretraining needs no mmdet. A detection config says
``custom_imports = dict(imports=['densevlm_mm.detection'])``.
"""

from pathlib import Path
from typing import Any

import numpy as np
from mmdet.engine.hooks import DetVisualizationHook
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.runner import Runner

from densevlm_mm.engine.hooks.picture_hook import PictureHook


@HOOKS.register_module()
class NamedDetVisualizationHook(PictureHook, DetVisualizationHook):
    """mmdet's hook, whose pictures of a test are named apart and come from every process.

    mmdet names them by the images' file names alone, whatever their folders, draws in the main process only, so that of
    two processes' images half have a picture, and puts ``test_out_dir`` below the work dir. Pictures of a validation
    are mmdet's.

    Args:
        **options: Those of mmdet's ``DetVisualizationHook``.
    """

    def __init__(self, **options: Any) -> None:
        DetVisualizationHook.__init__(self, **options)

    def picture_suffix(self, sample: DetDataSample) -> str:
        """Photographs stay JPEG files."""
        return ".jpg" if Path(sample.img_path).suffix.lower() in (".jpg", ".jpeg") else ".png"

    def draw_test_picture(
        self, runner: Runner, image: np.ndarray, sample: DetDataSample, out_file: str, **options: Any
    ) -> None:
        """Draw boxes and masks with a score above ``score_thr``."""
        super().draw_test_picture(runner, image, sample, out_file, pred_score_thr=self.score_thr, **options)
