import csv
import json
from pathlib import Path

import numpy as np

from densevlm_mm.evaluation.class_table import WritesClassTable, write_class_table


def test_both_files_have_the_rows(tmp_path: Path) -> None:
    columns = dict(
        name=("a, b", "c"), is_thing=np.array([True, False]), IoU=np.array([1.5, np.nan]), n=np.array([3, 0])
    )
    write_class_table(str(tmp_path / "new/table"), dict(mIoU=1.5, mAcc=float("nan")), columns)
    content = json.loads((tmp_path / "new/table.json").read_text())
    assert content == dict(
        metrics=dict(mIoU=1.5, mAcc=None),
        classes=[dict(name="a, b", is_thing=True, IoU=1.5, n=3), dict(name="c", is_thing=False, IoU=None, n=0)],
    )
    rows = list(csv.DictReader((tmp_path / "new/table.csv").open()))
    assert rows[0] == dict(name="a, b", is_thing="True", IoU="1.5", n="3")
    assert rows[1]["IoU"] == ""


def test_a_metric_writes_what_its_figures_are_of_if_it_has_a_prefix(tmp_path: Path) -> None:
    metric = WritesClassTable()
    metric.evaluation, metric.num_regions = dict(checkpoint="a.pth"), 3
    metric.write_class_table(dict(x=1.0), dict(name=["a"]))
    assert list(tmp_path.iterdir()) == []
    metric.outfile_prefix = str(tmp_path / "table")
    metric.write_class_table(dict(x=1.0), dict(name=["a"]))
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["evaluation"] == dict(checkpoint="a.pth", num_regions=3)
