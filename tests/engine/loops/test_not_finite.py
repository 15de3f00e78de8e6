"""Training runs with a batch whose loss is not finite."""

import pytest
import torch

from densevlm_mm.engine.not_finite import NotFiniteError
from tests.fixtures.toy_run import NumberedSamples, load, state_of, toy_runner

PLAIN = dict(shuffle=False)  # sample 5 comes in iteration 3


def run_into(work_dir, infinite=(5,), **kwargs):
    runner = toy_runner(work_dir, data=NumberedSamples(12, infinite=infinite), sampler=PLAIN, **kwargs)
    with pytest.raises(NotFiniteError) as caught:
        runner.train()
    return runner, str(caught.value)


@pytest.mark.parametrize("iterations", [None, 12], ids=["epochs", "iterations"])
def test_the_run_ends_before_the_step_and_says_which_images(tmp_path, iterations) -> None:
    _, message = run_into(tmp_path, iterations=iterations)
    assert "iteration 3: the loss is" in message
    assert "loss_fit" in message
    assert "loss_small" in message
    assert "image_4.jpg, image_5.jpg" in message
    assert "not_finite/iter_3.pt" in message


def test_the_place_before_the_bad_batch_is_saved_with_its_running_statistics(tmp_path) -> None:
    run_into(tmp_path / "bad")
    whole = toy_runner(tmp_path / "whole", iterations=2, sampler=PLAIN)
    whole.train()
    saved = load(tmp_path / "bad" / "iter_2.pth")
    assert saved["meta"]["iter"] == 2
    torch.testing.assert_close(saved["state_dict"], state_of(whole)["model"], rtol=0, atol=0)


def test_the_batch_can_be_read_and_run_again_without_running_code(tmp_path) -> None:
    run_into(tmp_path)
    replay = load(tmp_path / "not_finite" / "iter_3.pt")
    assert replay["iteration"] == 3
    assert replay["images"] == ["image_4.jpg", "image_5.jpg"]
    assert replay["batch"]["inputs"][1][0] == float("inf")
    assert replay["batch"]["data_samples"][1]["index"] == 5


def test_bad_steps_that_may_be_left_out_spoil_nothing(tmp_path) -> None:
    data = NumberedSamples(12, infinite=(5,))
    runner = toy_runner(tmp_path, data=data, sampler=PLAIN, epochs=1, optim_wrapper=dict(max_not_finite=1))
    runner.train()
    assert runner.iter == 6
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
    (log,) = tmp_path.glob("*/*.log")
    assert "image_4.jpg, image_5.jpg" in log.read_text()
    assert "number 1 of 1 that may be" in log.read_text()
    assert "loss: nan" not in log.read_text()


def test_more_bad_steps_than_allowed_end_the_run(tmp_path) -> None:
    runner, message = run_into(tmp_path, infinite=(1, 5), optim_wrapper=dict(max_not_finite=1))
    assert "iteration 3" in message
    assert runner.optim_wrapper.num_not_finite == 1
    assert load(tmp_path / "iter_2.pth")["optimizer"]["num_not_finite"] == 1


def test_a_state_that_is_not_finite_is_never_saved(tmp_path) -> None:
    # The last step of a rate like this makes weights that are nan, after the last loss that could tell.
    runner = toy_runner(
        tmp_path,
        iterations=3,
        optim_wrapper=dict(optimizer=dict(type="SGD", lr=1e38, weight_decay=10.0)),
        param_scheduler=[],
        checkpoint=dict(interval=1),
    )
    with pytest.raises(NotFiniteError, match=r"not saved: .* tensors are nan or infinite \(layers"):
        runner.train()
    for path in tmp_path.glob("iter_*.pth"):
        assert all(torch.isfinite(value).all() for value in load(path)["state_dict"].values())
