from pathlib import Path

import cv2

from report.glance import plot_glance
from report.statistics import over_seeds

METRICS = ("masks_s_top1", "masks_t_top1", "foreground_bias", "offset_control")


def test_the_picture_grows_with_the_experiments(tmp_path: Path) -> None:
    results = {
        seed: {name: dict.fromkeys(METRICS, 40.0 + seed) for name in ("before", "row1", "row4")} for seed in (0, 1)
    }
    summary = over_seeds(results)
    plot_glance(summary, ["before", "row4"], tmp_path / "two.png")
    plot_glance(summary, ["before", "row1", "row4"], tmp_path / "three.png")
    assert cv2.imread(str(tmp_path / "three.png")).shape[0] > cv2.imread(str(tmp_path / "two.png")).shape[0]
