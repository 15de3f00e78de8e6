from pathlib import Path

import mmengine
import pytest
import torch
from mmdet.registry import METRICS

import densevlm_mm.detection  # noqa: F401  (registers the metric)
from densevlm_mm.evaluation import WholeDumpResults


class CannotBePickled:
    def __reduce__(self) -> tuple:
        raise RuntimeError("the process ends here")


def test_predictions_come_back(tmp_path: Path) -> None:
    dump = WholeDumpResults(str(tmp_path / "new folder" / "out.pkl"))
    dump.process(None, [dict(scores=torch.tensor([0.5]), name="boat")])
    assert dump.compute_metrics(dump.results) == {}
    assert mmengine.load(tmp_path / "new folder" / "out.pkl") == [dict(scores=torch.tensor([0.5]), name="boat")]


@pytest.mark.parametrize("kind", ["densevlm_mm.WholeDumpResults", "mmdet.WholeDumpDetResults"])
def test_a_dump_that_fails_leaves_the_old_file_alone(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out.pkl"
    out.write_bytes(b"of an earlier test")
    dump = METRICS.build(dict(type=kind, out_file_path=str(out)))
    with pytest.raises(RuntimeError, match="ends here"):
        dump.compute_metrics([dict(large=torch.zeros(100_000)), CannotBePickled()])
    assert out.read_bytes() == b"of an earlier test"
    assert list(tmp_path.iterdir()) == [out]


def test_masks_of_a_detector_are_encoded(tmp_path: Path) -> None:
    dump = METRICS.build(dict(type="mmdet.WholeDumpDetResults", out_file_path=str(tmp_path / "out.pkl")))
    instances = dict(masks=torch.ones(1, 4, 5, dtype=torch.bool), scores=torch.tensor([0.5]))
    dump.process(None, [dict(pred_instances=instances)])
    dump.compute_metrics(dump.results)
    (record,) = mmengine.load(tmp_path / "out.pkl")
    assert record["pred_instances"]["masks"][0]["size"] == [4, 5]
