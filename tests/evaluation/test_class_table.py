import csv
import json
from pathlib import Path

import numpy as np

from densevlm_mm.evaluation.class_table import write_class_table


def test_both_files_have_the_rows(tmp_path: Path) -> None:
    columns = dict(
        name=("a, b", "c"), is_thing=np.array([True, False]), IoU=np.array([1.5, np.nan]), n=np.array([3, 0])
    )
    write_class_table(str(tmp_path / "table"), dict(mIoU=1.5, mAcc=float("nan")), columns)
    content = json.loads((tmp_path / "table.json").read_text())
    assert content["metrics"] == dict(mIoU=1.5, mAcc=None)
    assert content["classes"] == [
        dict(name="a, b", is_thing=True, IoU=1.5, n=3),
        dict(name="c", is_thing=False, IoU=None, n=0),
    ]
    rows = list(csv.DictReader((tmp_path / "table.csv").open()))
    assert rows[0] == dict(name="a, b", is_thing="True", IoU="1.5", n="3")
    assert rows[1]["IoU"] == ""
