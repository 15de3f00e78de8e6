import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.logging import MMLogger

from densevlm_mm.evaluation import PredictionRecorder


def detections(*rows: tuple[str, float], img_path: str = "a.jpg", **extra: Any) -> dict:
    instances = dict(
        label_names=[name for name, _ in rows],
        scores=torch.tensor([score for _, score in rows]),
        bboxes=torch.tensor([[1.0, 2.0, 3.0, 4.0]] * len(rows)).reshape(-1, 4),
        labels=torch.zeros(len(rows), dtype=torch.long),
    )
    return dict(img_path=img_path, pred_instances=instances, **extra)


def segments(img_path: str, labels: Any, names: Any, **extra: Any) -> dict:
    return dict(
        img_path=img_path, pred_sem_seg=dict(data=torch.tensor(labels)[None]), vocabulary_classes=names, **extra
    )


def records(folder: Path) -> list[dict]:
    return json.loads((folder / "predictions.json").read_text(encoding="utf-8"))


def test_detections_carry_the_names(tmp_path: Path) -> None:
    recorder = PredictionRecorder(str(tmp_path))
    sample = detections(("boat", 0.75), ("tug", 0.5))
    sample["pred_instances"]["is_novel"] = torch.tensor([False, True])
    sample["pred_instances"]["bboxes"][1] = torch.tensor([0.0, 0.0, 5.0, 5.25])
    recorder.process(None, [sample])
    assert recorder.evaluate(1) == {"predictions/num_images": 1}
    assert records(tmp_path) == [
        dict(
            img_path="a.jpg",
            detections=[
                dict(name="boat", score=0.75, bbox_xyxy=[1, 2, 3, 4], is_novel=False),
                dict(name="tug", score=0.5, bbox_xyxy=[0, 0, 5, 5.25], is_novel=True),
            ],
        )
    ]


def test_only_scores_above_the_threshold_are_listed(tmp_path: Path) -> None:
    recorder = PredictionRecorder(str(tmp_path), score_thr=0.5)
    recorder.process(None, [detections(("boat", 0.75), ("tug", 0.5))])
    recorder.evaluate(1)
    assert [entry["name"] for entry in records(tmp_path)[0]["detections"]] == ["boat"]


def test_names_of_a_model_that_gives_none_are_the_data_sets(tmp_path: Path) -> None:
    recorder = PredictionRecorder(str(tmp_path))
    sample = detections(("", 0.75))
    del sample["pred_instances"]["label_names"]
    with pytest.raises(ValueError, match="no label_names and the data set no classes"):
        recorder.process(None, [sample])
    recorder.dataset_meta = dict(classes=("boat",))
    recorder.process(None, [sample])
    recorder.evaluate(1)
    assert records(tmp_path)[0]["detections"][0]["name"] == "boat"


def test_segments_are_shares_and_a_label_map(tmp_path: Path) -> None:
    recorder = PredictionRecorder(str(tmp_path))
    names = tuple(f"class {i}" for i in range(300))
    labels = [[299, 299, 299, 2]]
    recorder.process(None, [segments("b/c.jpg", labels, names, output_name="b/c")])
    recorder.evaluate(1)
    (record,) = records(tmp_path)
    assert record["segments"] == [dict(name="class 299", share=0.75), dict(name="class 2", share=0.25)]
    assert record["label_map"] == str(tmp_path / "label_maps/b/c.png")
    np.testing.assert_array_equal(cv2.imread(record["label_map"], cv2.IMREAD_UNCHANGED), labels)


def test_a_run_that_is_killed_leaves_the_records_of_all_images_before(tmp_path: Path) -> None:
    recorder = PredictionRecorder(str(tmp_path))
    for index in range(3):
        recorder.process(None, [detections(("boat", 0.5), img_path=f"{index}.jpg")])
        # as another process sees the file, while this one has it open
        lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
        assert [json.loads(line)["img_path"] for line in lines] == [f"{i}.jpg" for i in range(index + 1)]
    recorder.evaluate(3)
    assert [record["img_path"] for record in records(tmp_path)] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.json"]


def test_results_of_an_earlier_run_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "predictions.json").write_text("old")
    for name in ("skipped.json", "predictions.jsonl", "predictions.3.jsonl"):
        (tmp_path / name).write_text("old")
    recorder = PredictionRecorder(str(tmp_path))
    recorder.process(None, [detections(img_path="new.jpg")])
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.jsonl"]
    recorder.evaluate(1)
    assert records(tmp_path) == [dict(img_path="new.jpg", detections=[])]


def test_unreadable_images_are_listed_apart(tmp_path: Path) -> None:
    recorder = PredictionRecorder(str(tmp_path))
    recorder.process(None, [dict(img_path="x.jpg", unreadable="x.jpg is empty"), detections(img_path="\udcff.jpg")])
    assert recorder.evaluate(2) == {"predictions/num_images": 1, "predictions/num_skipped": 1}
    assert [record["img_path"] for record in records(tmp_path)] == ["\udcff.jpg"]  # a byte that is no UTF-8
    skipped = json.loads((tmp_path / "skipped.json").read_text())
    assert skipped == [dict(img_path="x.jpg", reason="x.jpg is empty")]
    recorder.process(None, [dict(img_path="x.jpg", unreadable="x.jpg is empty")])
    assert recorder.evaluate(1) == {"predictions/num_images": 0, "predictions/num_skipped": 1}
    assert records(tmp_path) == []


def test_scores_that_are_not_finite_are_an_error_with_the_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"day/1\.jpg: scores or boxes are not finite"):
        PredictionRecorder(str(tmp_path)).process(None, [detections(("boat", float("nan")), img_path="day/1.jpg")])


def test_an_image_has_a_line_with_its_best_names(tmp_path: Path) -> None:
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = said.append  # type: ignore[method-assign]
    MMLogger.get_current_instance().addHandler(handler)
    recorder = PredictionRecorder(str(tmp_path))
    rows = [("a", 0.1), ("boat", 0.5), ("boat", 0.75), *((f"n{i}", 0.2) for i in range(5))]
    recorder.process(None, [detections(*rows, output_name="day/1"), detections(output_name="day/2")])
    recorder.process(None, [segments("c.jpg", [[0, 1, 1, 1]], ("sky", "sea"))])
    MMLogger.get_current_instance().removeHandler(handler)
    assert [record.getMessage() for record in said if getattr(record, "for_console", False)] == [
        "day/1: boat 0.75 (x2), n0 0.20, n1 0.20, n2 0.20, n3 0.20, +2 more",
        "day/2: nothing",
        "c.jpg: sea 75%, sky 25%",
    ]


def record_as_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    recorder = PredictionRecorder(str(folder / "out"))
    for index in (rank, (rank + 2) % 3):  # as DefaultSampler deals three images: the first again, to be even
        recorder.process(None, [detections(("boat", 0.5), img_path=f"{index}.jpg")])
    (folder / f"{rank}.json").write_text(json.dumps(recorder.evaluate(3)))
    torch.distributed.destroy_process_group()


def test_two_processes_write_one_list_in_the_order_of_the_data_set(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    mp.start_processes(record_as_rank, args=(tmp_path,), nprocs=2, start_method="fork")
    assert [record["img_path"] for record in records(tmp_path / "out")] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == {"predictions/num_images": 3}
