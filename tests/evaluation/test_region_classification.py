import csv
import json
import logging
import math

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from mmengine.evaluator import Evaluator
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData

from densevlm_mm.datasets import RegionDataSample
from densevlm_mm.evaluation import RegionClassificationMetric
from densevlm_mm.evaluation.figure_names import figure_names

IS_THING = np.array([True, False, True, True, False, True, False, False, True])
META = dict(classes=[f"class {i}" for i in range(9)], is_thing=IS_THING.tolist())


def make_samples(num_images=7, labels=range(8), seed=0):
    """Images with 0 to 6 regions; scores that are right about half of the time."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    labels = torch.tensor(list(labels))
    for image in range(num_images):
        label = labels[torch.randint(len(labels), (image % 7,), generator=generator)]
        scores = [
            torch.randn(len(label), 9, generator=generator) + 1.5 * torch.nn.functional.one_hot(label, 9)
            for _ in range(2)
        ]
        sample = RegionDataSample(metainfo=dict(img_id=image))
        masks = torch.ones(len(label), 2, 2, dtype=torch.bool)
        masks[:1] = False  # the first region of each image vanished
        sample.gt_regions = InstanceData(labels=label, is_thing=torch.from_numpy(IS_THING)[label], masks=masks)
        sample.pred_regions = InstanceData(box_scores=scores[0], mask_scores=scores[1])
        samples.append(sample)
    return samples


def evaluate(samples, **kwargs):
    metric = RegionClassificationMetric(**kwargs)
    evaluator = Evaluator([metric])
    evaluator.dataset_meta = META
    for start in range(0, len(samples), 2):
        evaluator.process(samples[start : start + 2])
    return evaluator.evaluate(len(samples))


def reference(samples):
    """One region at a time."""
    hits = {}
    called = {True: [], False: []}
    for sample in samples:
        for i, label in enumerate(sample.gt_regions.labels.tolist()):
            thing = bool(IS_THING[label])
            groups = [("masks_t" if thing else "masks_s", sample.pred_regions.mask_scores[i])]
            if thing:
                groups.append(("boxes", sample.pred_regions.box_scores[i]))
            for group, scores in groups:
                order = sorted(range(9), key=lambda k: -scores[k])
                for top in (1, 5):
                    hits.setdefault(f"{group}_top{top}", {}).setdefault(label, []).append(label in order[:top])
            called[thing].append(bool(IS_THING[int(sample.pred_regions.mask_scores[i].argmax())]))
    figures = {
        f"region/{key}": 100 * float(np.mean([np.mean(values) for values in classes.values()]))
        for key, classes in hits.items()
    }
    figures["region/foreground_bias"] = 100 * float(np.mean(called[False]))
    figures["region/things_called_stuff"] = 100 * (1 - float(np.mean(called[True])))
    figures["region/offset_control_before"] = (figures["region/masks_t_top1"] + figures["region/masks_s_top1"]) / 2
    figures["region/num_things"] = len(called[True])
    figures["region/num_stuff"] = len(called[False])
    return figures


@pytest.mark.parametrize("seed", range(3))
def test_figures_equal_a_slow_reference(seed):
    samples = make_samples(30, seed=seed)
    figures = evaluate(samples)
    assert set(figures) == set(figure_names(RegionClassificationMetric, {})) - {"region/coherence_auc"}
    expected = reference(samples)
    assert {key: figures[key] for key in expected} == pytest.approx(expected)
    assert figures["region/offset_control"] >= figures["region/offset_control_before"]
    assert figures["region/num_empty_masks"] == sum(len(sample.gt_regions) > 0 for sample in samples)


def test_coherence_is_the_mean_over_the_images_that_have_it():
    samples = make_samples(5)
    for sample, value in zip(samples, [0.75, math.nan, 0.5, math.nan, 0.7], strict=True):
        sample.coherence_auc = torch.tensor(value)
    figures = evaluate(samples)
    assert figures["region/coherence_auc"] == pytest.approx(0.65)
    assert set(figures) == set(figure_names(RegionClassificationMetric, {}))
    assert math.isnan(evaluate([samples[1], samples[3]])["region/coherence_auc"])


def test_only_classes_with_samples_count():
    sample = make_samples(2, labels=[0])[1]
    sample.gt_regions.masks[:] = True
    sample.pred_regions.mask_scores = torch.eye(9)[:1]
    assert evaluate([sample])["region/masks_t_top1"] == 100


@pytest.mark.parametrize(
    ("labels", "absent", "title"), [([0, 2, 5], "masks_s", "Masks-S"), ([1, 4], "masks_t", "Masks-T")]
)
def test_absent_group_is_nan_and_logged(labels, absent, title):
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    MMLogger.get_current_instance().addHandler(handler)
    figures = evaluate(make_samples(labels=labels))
    MMLogger.get_current_instance().removeHandler(handler)
    nan = {key.removeprefix("region/") for key, value in figures.items() if math.isnan(value)}
    expected = {f"{absent}_top1", f"{absent}_top5", "offset_control", "offset_control_before", "offset_control_offset"}
    expected |= {"foreground_bias"} if absent == "masks_s" else {"things_called_stuff", "boxes_top1", "boxes_top5"}
    assert nan == expected
    assert any(f"{title}: absent" in message for message in messages)


@pytest.mark.parametrize(("kind", "absent"), [(True, "masks_s"), (False, "masks_t")])
def test_a_vocabulary_of_one_kind_gives_nan_and_null(kind, absent, tmp_path, monkeypatch):
    monkeypatch.setitem(META, "is_thing", [kind] * 9)
    figures = evaluate(make_samples(), outfile_prefix=str(tmp_path / "table"))
    assert math.isnan(figures[f"region/{absent}_top1"])
    assert math.isnan(figures["region/offset_control"])
    assert figures["region/num_things"] == (21 if kind else 0)
    content = json.loads((tmp_path / "table.json").read_text(), parse_constant=pytest.fail)  # no NaN, no Infinity
    assert content["metrics"][f"{absent}_top1"] is None


def test_one_class_is_always_right():
    sample = make_samples(2)[1]
    sample.gt_regions = InstanceData(labels=torch.tensor([0]), is_thing=torch.tensor([True]), masks=torch.ones(1, 2, 2))
    sample.pred_regions = InstanceData(box_scores=torch.rand(1, 1), mask_scores=torch.rand(1, 1))
    metric = RegionClassificationMetric()
    metric.dataset_meta = dict(classes=["boat"], is_thing=[True])
    metric.process(None, [sample.to_dict()])
    figures = metric.evaluate(1)
    assert (figures["region/masks_t_top1"], figures["region/things_called_stuff"]) == (100, 0)
    assert math.isnan(figures["region/masks_s_top1"])


def test_region_without_a_feature_is_wrong_and_on_neither_side():
    samples = make_samples(20)
    for sample in samples:
        sample.pred_regions.mask_scores[:] = 0
    figures = evaluate(samples)
    for key in (
        "masks_t_top1",
        "masks_t_top5",
        "masks_s_top1",
        "foreground_bias",
        "things_called_stuff",
        "offset_control",
    ):
        assert figures[f"region/{key}"] == 0


def test_tables_are_written(tmp_path):
    samples = make_samples(30, labels=[0, 1, 2, 4])
    figures = evaluate(samples, outfile_prefix=str(tmp_path / "new" / "regions"))
    rows = list(csv.DictReader((tmp_path / "new" / "regions.csv").open()))
    content = json.loads((tmp_path / "new" / "regions.json").read_text())
    assert [row["name"] for row in rows] == META["classes"]
    assert sum(int(row["num_regions"]) for row in rows) == figures["region/num_things"] + figures["region/num_stuff"]
    present = [float(row["masks_s_top1"]) for row in rows if row["masks_s_top1"]]
    assert len(present) == 2
    assert np.mean(present) == pytest.approx(figures["region/masks_s_top1"])
    assert content["classes"][3] == dict(name="class 3", is_thing=True, num_regions=0) | {
        key: None for key in rows[0] if "top" in key
    }
    assert content["metrics"]["boxes_top1"] == figures["region/boxes_top1"]


def broken(**scores):
    sample = make_samples(2)[1]
    sample.pred_regions = InstanceData(
        **{**dict(box_scores=torch.zeros(1, 9), mask_scores=torch.zeros(1, 9)), **scores}
    )
    return [sample]


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (dict(box_scores=torch.zeros(1, 9).bfloat16()), "box_scores of image 1 are torch.bfloat16, too coarse"),
        (dict(mask_scores=torch.full((1, 9), torch.nan)), "mask_scores of image 1 are not finite"),
        (dict(mask_scores=torch.zeros(1, 8)), r"shape \(1, 8\), not \(regions, classes\) = \(1, 9\)"),
    ],
)
def test_unusable_scores_are_errors(scores, message):
    with pytest.raises(ValueError, match=message):
        evaluate(broken(**scores))


def test_missing_things_are_errors():
    sample = make_samples(2)[1]
    del sample.pred_regions
    with pytest.raises(ValueError, match="image 1 has no 'pred_regions'"):
        evaluate([sample])
    with pytest.raises(ValueError, match="no annotated region to score"):
        evaluate(make_samples(1))
    with pytest.raises(ValueError, match="must have 'classes' and as many 'is_thing' flags"):
        RegionClassificationMetric().process(None, [])


def with_coherence(samples):
    for sample in samples:
        sample.coherence_auc = torch.tensor(1 / (1 + sample.img_id) if sample.img_id else math.nan)
    return samples


def evaluate_as_rank(rank, world_size, folder, images):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world_size)
    samples = with_coherence([make_samples(7)[i] for i in images])
    metric = RegionClassificationMetric(collect_dir=f"{folder}/parts")
    metric.dataset_meta = META
    # As mmengine's DefaultSampler deals them: in turn, with the first ones again at the end so that ranks are even.
    padded = len(samples) + len(samples) % world_size
    mine = [samples[i % len(samples)] for i in range(rank, padded, world_size)]
    metric.process(None, [sample.to_dict() for sample in mine])
    (folder / f"{rank}.json").write_text(json.dumps(metric.evaluate(len(samples))))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("images", [range(7), (0, 3)], ids=["an odd number", "one process without a region"])
def test_two_processes_give_the_same_figures(images, tmp_path):
    # fork: the children need not import torch again, nor this module, which pytest does not put on the path
    mp.start_processes(evaluate_as_rank, args=(2, tmp_path, images), nprocs=2, start_method="fork")
    alone = evaluate(with_coherence([make_samples(7)[i] for i in images]))
    for rank in range(2):
        assert json.loads((tmp_path / f"{rank}.json").read_text()) == pytest.approx(alone, nan_ok=True)


def test_scores_are_matched_by_name_when_the_model_has_another_order() -> None:
    order = torch.tensor([8, 2, 0, 1, 7, 3, 5, 4, 6])  # class of the data set in each column of the model
    samples, expected = make_samples(), evaluate(make_samples())
    for sample in samples:
        scores = sample.pred_regions
        sample.pred_regions = InstanceData(
            box_scores=scores.box_scores[:, order], mask_scores=scores.mask_scores[:, order]
        )
        sample.set_metainfo(dict(vocabulary_classes=tuple(f"Class_{label}" for label in order.tolist())))
    assert evaluate(samples) == pytest.approx(expected, nan_ok=True)
    samples[0].set_metainfo(dict(vocabulary_classes=("class 1", "class 0", "kite", *META["classes"][3:])))
    with pytest.raises(ValueError, match=r"'class 1' is number 0 of one list and 1 of the other.*'kite'"):
        evaluate(samples)
