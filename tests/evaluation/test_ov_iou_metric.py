import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.dataset import DefaultSampler
from PIL import Image

import densevlm_mm.compat  # noqa: F401
from densevlm_mm.evaluation.figure_names import figure_names
from densevlm_mm.evaluation.ov_iou_metric import OpenVocabularyIoUMetric

CLASSES = ("boat", "surfboard", "sky", "sea", "unicorn", "dragon")
META = dict(classes=CLASSES, is_thing=[True, True, False, False, True, True])
TRAIN = ["boat", "SKY ", "dragon"]


def sample(pred: Any, label: Any, **extra: Any) -> dict:
    def data(values: Any) -> dict:
        return dict(data=torch.as_tensor(values)[None])

    return dict(pred_sem_seg=data(pred), gt_sem_seg=data(label), img_path="images/one.jpg", **extra)


def random_samples(num_images: int, num_classes: int = 5, ignore_index: int = 255, seed: int = 0) -> list[dict]:
    rng = np.random.default_rng(seed)
    samples = []
    for _ in range(num_images):
        label = rng.integers(0, num_classes - 1, (7, 9))  # the last class has no ground truth
        pred = np.where(rng.random((7, 9)) < 0.6, label, rng.integers(0, num_classes, (7, 9)))
        label[rng.random((7, 9)) < 0.1] = ignore_index
        samples.append(sample(pred, label))
    return samples


def metric(meta: dict = META, **kwargs: Any) -> OpenVocabularyIoUMetric:
    result = OpenVocabularyIoUMetric(**dict(train_vocabulary=TRAIN) | kwargs)
    result.dataset_meta = meta
    return result


def evaluate(samples: list[dict], meta: dict = META, **kwargs: Any) -> dict[str, float]:
    tested = metric(meta, **kwargs)
    tested.process({}, samples)
    return tested.evaluate(len(samples))


def reference(samples: list[dict], num_classes: int, ignore_index: int) -> dict[str, np.ndarray]:
    """Pixel by pixel: the confusion matrix and what follows from it."""
    confusion = np.zeros((num_classes, num_classes), dtype=int)
    for each in samples:
        pairs = zip(
            each["gt_sem_seg"]["data"].ravel().tolist(), each["pred_sem_seg"]["data"].ravel().tolist(), strict=True
        )
        for label, pred in pairs:
            if label != ignore_index:
                confusion[label, pred] += 1
    hit = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hit
    iou = np.array([100 * h / u if u else np.nan for h, u in zip(hit, union, strict=True)])
    present = confusion.sum(1) > 0
    return dict(
        iou=iou,
        present=present,
        recall=100 * hit[present] / confusion.sum(1)[present],
        accuracy=100 * hit.sum() / confusion.sum(),
    )


@pytest.mark.parametrize("ignore_index", [255, 65535])
def test_figures_equal_a_pixelwise_reference(ignore_index: int) -> None:
    samples = random_samples(6, ignore_index=ignore_index)
    figures = evaluate(samples, ignore_index=ignore_index)
    expected = reference(samples, len(CLASSES), ignore_index)
    iou, present = expected["iou"], expected["present"]
    assert present.tolist() == [True, True, True, True, False, False]
    assert iou[4] == 0  # predicted, but absent
    assert np.isnan(iou[5])  # neither
    assert figures["mIoU_present"] == pytest.approx(iou[:4].mean())
    assert figures["mIoU_all"] == pytest.approx(iou[:4].sum() / 6)
    assert figures["mIoU"] == pytest.approx(iou[:4].sum() / 5)
    assert figures["aAcc"] == pytest.approx(expected["accuracy"])
    assert figures["mAcc"] == pytest.approx(expected["recall"].mean())
    assert figures["mIoU_things"] == pytest.approx(iou[:2].mean())
    assert figures["mIoU_stuff"] == pytest.approx(iou[2:4].mean())
    assert figures["mIoU_seen"] == pytest.approx(iou[[0, 2]].mean())
    assert figures["mIoU_unseen"] == pytest.approx(iou[[1, 3]].mean())
    assert (figures["num_present"], figures["num_seen"], figures["num_unseen"]) == (4, 2, 2)


def test_main_figures_equal_mmsegs() -> None:
    from mmseg.evaluation import IoUMetric

    samples = random_samples(4)
    theirs = IoUMetric(iou_metrics=["mIoU", "mDice", "mFscore"])
    theirs.dataset_meta = META
    theirs.process({}, samples)
    ours = evaluate(samples, iou_metrics=["mIoU", "mDice", "mFscore"])
    options = dict(iou_metrics=["mIoU", "mDice", "mFscore"])
    assert set(ours) <= set(figure_names(OpenVocabularyIoUMetric, options) or ())
    expected = theirs.evaluate(4)
    assert set(expected) == set(figure_names(IoUMetric, options) or ())
    for key, value in expected.items():
        assert ours[key] == pytest.approx(float(value), abs=0.006), key


def test_nearly_empty_figures_of_a_perfect_prediction() -> None:
    label = torch.tensor([[0, 2], [255, 2]])
    figures = evaluate([sample(label.clamp(max=2), label)], train_vocabulary=())
    assert figures["mIoU_present"] == figures["mIoU"] == figures["aAcc"] == 100
    assert figures["mIoU_all"] == pytest.approx(200 / 6)
    assert "mIoU_seen" not in figures


def test_large_counts_are_exact() -> None:
    """In single precision 2**24 + 1 pixels are 2**24."""
    tested = metric()
    tested.results = [np.array([[0, 1], [2**24, 0], [2**24, 1], [2**24 + 1, 0]]), np.array([[0], [1], [1], [1]])]
    figures = tested.evaluate(2)
    assert figures["aAcc"] == 100 * (2**24 + 1) / (2**24 + 2)


def test_only_classes_in_the_image_are_kept() -> None:
    names = tuple(f"class {index}" for index in range(847))
    tested = metric(dict(classes=names), ignore_index=65535)
    tested.process({}, [sample([[3, 800]], [[3, 65535]])])
    assert [counts.tolist() for counts in tested.results] == [[[3], [1], [1], [1]]]


def test_class_255_counts_in_a_wide_data_set() -> None:
    meta = dict(classes=tuple(f"class {index}" for index in range(300)), ignore_index=65535)
    figures = evaluate([sample([[255, 255]], [[255, 65535]])], meta)
    assert figures["mIoU_present"] == 100


def test_ignore_index_of_the_data_set_must_be_followed() -> None:
    meta = dict(classes=tuple(f"class {index}" for index in range(300)), ignore_index=65535)
    with pytest.raises(ValueError, match="the data set's is 65535"):
        metric(meta, ignore_index=255)
    with pytest.raises(ValueError, match="ignore_index 255 is one of the 300 classes"):
        metric(dict(classes=meta["classes"]))


@pytest.mark.parametrize(
    "known", [{}, dict(vocabulary_classes=("a",) * 4), dict(seg_logits=dict(data=torch.zeros(7, 1, 2)))]
)
def test_prediction_over_other_classes_is_refused(known: dict) -> None:
    pred = [[0, 6 if not known else 1]]
    with pytest.raises(ValueError, match=r"predicts over . classes, the data set has 6.*vocabulary"):
        metric().process({}, [sample(pred, [[0, 1]], **known)])


def test_bad_ground_truth_is_refused() -> None:
    with pytest.raises(ValueError, match="has label 7, which is none of the 6 classes"):
        metric().process({}, [sample([[0, 1]], [[0, 7]])])
    with pytest.raises(ValueError, match=r"prediction is \(1, 2\), the ground truth \(1, 3\)"):
        metric().process({}, [sample([[0, 1]], [[0, 1, 1]])])
    with pytest.raises(ValueError, match="no pixel has a label"):
        evaluate([sample([[0]], [[255]])])


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="iou_metrics"):
        OpenVocabularyIoUMetric(iou_metrics="mAP")
    with pytest.raises(ValueError, match="needs output_dir"):
        OpenVocabularyIoUMetric(format_only=True)


def test_table_is_written(tmp_path: Path) -> None:
    evaluate(random_samples(2), outfile_prefix=str(tmp_path / "out"))
    rows = list(csv.DictReader((tmp_path / "out.csv").open()))
    assert [row["name"] for row in rows] == list(CLASSES)
    assert list(rows[0]) == ["name", "is_thing", "is_seen", "num_pixels", "num_predicted", "IoU", "Acc"]
    assert (rows[5]["IoU"], rows[4]["num_pixels"]) == ("", "0")
    assert json.loads((tmp_path / "out.json").read_text())["metrics"]["num_present"] == 4


@pytest.mark.parametrize(
    ("num_classes", "reduce_zero_label", "dtype"),
    [(255, False, np.uint8), (255, True, np.uint8), (256, True, np.uint16), (847, False, np.uint16)],
)
def test_label_maps_are_as_wide_as_needed(
    tmp_path: Path, num_classes: int, reduce_zero_label: bool, dtype: type
) -> None:
    names = tuple(f"class {index}" for index in range(num_classes))
    tested = metric(dict(classes=names), ignore_index=65535, output_dir=str(tmp_path), format_only=True)
    tested.process({}, [sample([[0, num_classes - 1]], [[0, 0]], reduce_zero_label=reduce_zero_label)])
    assert tested.evaluate(1) == {}
    with Image.open(tmp_path / "one.png") as image:
        written = np.asarray(image)
    assert written.dtype == dtype
    assert written.tolist() == [[int(reduce_zero_label), num_classes - 1 + int(reduce_zero_label)]]


def test_predictions_over_other_classes_can_be_written(tmp_path: Path) -> None:
    tested = metric(output_dir=str(tmp_path), format_only=True)
    tested.process({}, [sample([[0, 299]], [[0, 0]], vocabulary_classes=tuple(f"class {i}" for i in range(300)))])
    with Image.open(tmp_path / "one.png") as image:
        assert np.asarray(image).tolist() == [[0, 299]]


def test_label_maps_of_one_file_name_are_kept_apart(tmp_path: Path) -> None:
    tested = metric(output_dir=str(tmp_path), format_only=True)
    tested.process({}, [sample([[n]], [[0]], output_name=f"cam{n}/1") for n in (1, 2)])
    for number in (1, 2):
        assert np.asarray(Image.open(tmp_path / f"cam{number}/1.png")).tolist() == [[number]]
    tested.process({}, [sample([[0]], [[0]])])
    with pytest.raises(ValueError, match="would both be called 'one'"):
        tested.process({}, [sample([[0]], [[0]]) | dict(img_path="elsewhere/one.jpg")])


def test_a_group_without_ground_truth_is_nan_and_null(tmp_path: Path) -> None:
    figures = evaluate([sample([[0, 1]], [[0, 1]])], outfile_prefix=str(tmp_path / "table"))  # no stuff
    assert (figures["mIoU_things"], figures["num_unseen"]) == (100, 1)
    assert np.isnan(figures["mIoU_stuff"])
    content = json.loads((tmp_path / "table.json").read_text(), parse_constant=pytest.fail)
    assert content["metrics"]["mIoU_stuff"] is None
    only_stuff = evaluate([sample([[2, 3]], [[2, 3]])], train_vocabulary=None)
    assert np.isnan(only_stuff["mIoU_things"])
    assert "mIoU_seen" not in only_stuff  # not asked for


def test_lost_images_are_an_error() -> None:
    tested = metric()
    tested.process({}, random_samples(2))
    with pytest.raises(ValueError, match="results of 2 of 3 images"):
        tested.evaluate(3)


def evaluate_share(rank: int, world_size: int, port: int, tmp_path: str) -> None:
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://localhost:{port}", rank=rank, world_size=world_size)
    samples = random_samples(7)
    tested = metric()
    tested.collect_dir = f"{tmp_path}/collect"  # type: ignore[assignment]
    for index in DefaultSampler(samples, shuffle=False):  # 7 images on 2 processes: the first comes twice
        tested.process({}, [samples[index]])
    assert len(tested.results) == 4
    figures = tested.evaluate(len(samples))
    (Path(tmp_path) / f"{rank}.json").write_text(json.dumps(figures))
    dist.destroy_process_group()


def test_padding_of_two_processes_changes_nothing(tmp_path: Path) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    mp.start_processes(evaluate_share, (2, port, str(tmp_path)), nprocs=2, start_method="fork")
    alone = evaluate(random_samples(7))
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == alone


def test_seen_classes_are_those_that_the_model_was_trained_on_unless_told_otherwise() -> None:
    samples = [{**each, "training_classes": ("Boat.", "sea, ocean")} for each in random_samples(4)]
    iou = reference(samples, len(CLASSES), 255)["iou"]
    figures = evaluate(samples, train_vocabulary=None)
    assert figures["mIoU_seen"] == pytest.approx(iou[[0, 3]].mean())
    assert figures["mIoU_unseen"] == pytest.approx(iou[[1, 2]].mean())
    assert evaluate(samples)["mIoU_seen"] == pytest.approx(iou[[0, 2]].mean())
    assert "mIoU_seen" not in evaluate(samples, train_vocabulary=())
    assert "mIoU_seen" not in evaluate(random_samples(4), train_vocabulary=None)


def test_predictions_are_matched_by_name_when_the_model_has_another_order() -> None:
    samples = random_samples(4)
    order = [3, 0, 5, 4, 1, 2]  # class of the data set at each place of the model's vocabulary
    place = torch.tensor([order.index(label) for label in range(6)])
    permuted = [
        {
            **each,
            "pred_sem_seg": dict(data=place[each["pred_sem_seg"]["data"]]),
            "vocabulary_classes": tuple(CLASSES[label].upper() for label in order),
        }
        for each in samples
    ]
    assert evaluate(permuted) == evaluate(samples)


def test_an_order_that_names_cannot_mend_is_refused() -> None:
    names = ("surfboard", "boat", "heaven", "sea", "unicorn", "dragon")
    message = r"not in the order of the data set's: 'surfboard' is number 0 .*look at \['heaven'\]"
    with pytest.raises(ValueError, match=message):
        evaluate([{**random_samples(1)[0], "vocabulary_classes": names}])
    names = ("ship", "surfboard", "heaven", "sea", "unicorn", "dragon")  # other words at the same places
    samples = [{**each, "vocabulary_classes": names} for each in random_samples(2)]
    assert evaluate(samples) == evaluate(random_samples(2))
