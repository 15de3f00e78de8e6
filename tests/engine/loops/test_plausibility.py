from pathlib import Path

import pytest

from densevlm_mm.engine.loops.batch_plan import BatchPlan
from densevlm_mm.engine.loops.plausibility import implausible_settings
from tests.fixtures.toy_run import toy_runner


def warm_up(end: int) -> list[dict]:
    return [dict(type="LinearLR", start_factor=0.001, by_epoch=False, begin=0, end=end)]


def optimizer(kind: str, lr: float) -> dict:
    return dict(optimizer=dict(type=kind, lr=lr))


def warnings_of(work_dir: Path, **options) -> str:
    toy_runner(work_dir, **{"iterations": 1, "param_scheduler": [], **options}).train()
    (log,) = work_dir.glob("*/*.log")
    return "\n".join(line for line in log.read_text().splitlines() if "hardly be meant" in line)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(param_scheduler=warm_up(1000)), "warm-up of 1000 iterations is longer than the run of 1"),
        (dict(optim_wrapper=optimizer("AdamW", 1e30)), "learning rate of 1e+30 for AdamW"),
        (dict(optim_wrapper=optimizer("SGD", 100.0)), "learning rate of 100 for SGD"),
        (dict(optim_wrapper=optimizer("AdamW", 0.0)), "the learning rate is 0"),
    ],
    ids=["warm-up", "adam", "sgd", "zero"],
)
def test_what_can_hardly_be_meant_is_said_before_the_first_step(tmp_path, options, words) -> None:
    assert words in warnings_of(tmp_path, **options)


@pytest.mark.parametrize(
    "options",
    [
        dict(param_scheduler=warm_up(2), iterations=2),
        dict(param_scheduler=[dict(type="LinearLR", start_factor=1.0, end_factor=0.1, by_epoch=False, end=99)]),
        dict(optim_wrapper=optimizer("SGD", 1.0)),
    ],
    ids=["warm-up", "decay", "sgd"],
)
def test_what_may_be_meant_is_not_commented_on(tmp_path, options) -> None:
    assert warnings_of(tmp_path, **options) == ""


def test_a_batch_larger_than_the_data_set_is_named(tmp_path) -> None:
    runner = toy_runner(tmp_path, iterations=1, param_scheduler=[])
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    (sentence,) = implausible_settings(
        runner, BatchPlan(12, images_per_iteration=16, iterations_per_epoch=1, num_processes=2)
    )
    assert "16 images, the data set has 12" in sentence
