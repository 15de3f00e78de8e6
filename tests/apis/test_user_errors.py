import errno
import os
import signal
import time
from collections.abc import Callable

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from densevlm_mm.apis.user_errors import user_message
from densevlm_mm.engine.loops.out_of_memory import explain_out_of_memory
from densevlm_mm.registry import MODELS


class Broken(Dataset):
    def __init__(self, trouble: Callable[[], None]) -> None:
        self.trouble = trouble

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> int:
        self.trouble()
        return index


class UnreadableImageError(Exception):
    pass


def failing_with(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        try:
            raise ZeroDivisionError("the cause")
        except ZeroDivisionError as cause:
            raise error from cause

    return fail


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def error_of_worker(trouble: Callable[[], None]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        list(DataLoader(Broken(trouble), num_workers=1))
    return caught.value


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("a.jpg: is cut short"), "a.jpg: is cut short"),
        (FileNotFoundError(errno.ENOENT, "no such file", "b.jpg"), "[Errno 2] no such file: 'b.jpg'"),
        (KeyError("no category 7"), "no category 7"),
        (ValueError("two lines:\n  the second"), "two lines:\n  the second"),
        (UnreadableImageError("c.tiff"), "UnreadableImageError: c.tiff"),
    ],
    ids=["value", "file", "key", "lines", "other"],
)
def test_errors_of_loader_processes_are_what_they_were_there(error, message) -> None:
    assert user_message(error_of_worker(failing_with(error))) == message


def test_a_killed_loader_process_is_explained() -> None:
    assert "kills processes when memory runs out: use fewer num_workers" in str(user_message(error_of_worker(killed)))


@pytest.mark.parametrize(
    "error",
    [ImportError("pip install wandb"), MemoryError("pip install wandb"), OSError("pip install wandb")],
    ids=["import", "memory", "os"],
)
def test_what_the_machine_lacks_is_one_line(error) -> None:
    assert user_message(error) == "pip install wandb"


def test_bugs_are_no_messages() -> None:
    assert user_message(TypeError("a bug")) is None
    assert user_message(RuntimeError("a bug")) is None


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has ..."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"
        ),
        MemoryError("Unable to allocate 3 TiB"),
    ],
    ids=["cuda", "cpu", "numpy"],
)
def test_out_of_memory_advises_and_names_the_batch(error) -> None:
    batch = dict(inputs=[torch.zeros(3, 4, 5), torch.zeros(3, 40, 50)])
    advice = pytest.raises(MemoryError, match=r"2 images of up to 50 x 40 px .*\. Use a smaller batch_size")
    with advice as caught, explain_out_of_memory(batch):
        raise error
    assert "\n" not in str(user_message(caught.value))


def test_a_real_allocation_that_is_too_large_is_recognised() -> None:
    with pytest.raises(MemoryError, match="out of memory"), explain_out_of_memory(None):
        torch.empty(1 << 60)


def test_other_errors_of_a_step_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), explain_out_of_memory(None):
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(type="FeatureDistillationLoss", wieght=2.0), ("FeatureDistillationLoss", "'wieght'", "2.0")),
        (dict(type="DecoupledAlignmentLoss", threshold="half"), ("DecoupledAlignmentLoss", "threshold", "'half'")),
    ],
)
def test_a_wrong_name_or_kind_of_value_in_a_config_is_one_line(options: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(TypeError) as caught:
        MODELS.build(options)
    message = user_message(caught.value)
    assert message is not None
    assert "\n" not in message
    for word in words:
        assert word in message
