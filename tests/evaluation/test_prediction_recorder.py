import json

import cv2
import numpy as np
import torch

from densevlm_mm.evaluation import PredictionRecorder


def test_detections_carry_the_names(tmp_path) -> None:
    recorder = PredictionRecorder(str(tmp_path))
    instances = dict(
        label_names=["boat", "tug"],
        scores=torch.tensor([0.75, 0.5]),
        bboxes=torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 5.0, 5.25]]),
        labels=torch.tensor([4, 7]),
        is_novel=torch.tensor([False, True]),
    )
    recorder.process(None, [dict(img_path="a.jpg", pred_instances=instances)])
    assert recorder.evaluate(1) == {"predictions/num_images": 1}
    (record,) = json.loads((tmp_path / "predictions.json").read_text())
    assert record == dict(
        img_path="a.jpg",
        detections=[
            dict(name="boat", score=0.75, bbox_xyxy=[1, 2, 3, 4], is_novel=False),
            dict(name="tug", score=0.5, bbox_xyxy=[0, 0, 5, 5.25], is_novel=True),
        ],
    )


def test_segments_are_shares_and_a_label_map(tmp_path) -> None:
    recorder = PredictionRecorder(str(tmp_path))
    names = tuple(f"class {i}" for i in range(300))
    labels = torch.tensor([[299, 299, 299, 2]])
    sample = dict(img_path="b/c.jpg", pred_sem_seg=dict(data=labels[None]), vocabulary_classes=names)
    recorder.process(None, [sample])
    recorder.evaluate(1)
    (record,) = json.loads((tmp_path / "predictions.json").read_text())
    assert record["segments"] == [dict(name="class 299", share=0.75), dict(name="class 2", share=0.25)]
    np.testing.assert_array_equal(cv2.imread(record["label_map"], cv2.IMREAD_UNCHANGED), labels.numpy())
