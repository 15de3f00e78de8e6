"""Two real processes over gloo: what the main one does or fails to do, all have."""

import os
from collections.abc import Callable

import pytest
import torch

from densevlm_mm.main_process import on_main_process


class UnreadableError(Exception):
    """Can be written to another process, but not be read there."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def fail() -> None:
    raise FileNotFoundError("there is no cache.bin")


def fail_unreadably() -> None:
    raise UnreadableError("no ", "luck")


def outcome(work: Callable) -> tuple[str, str]:
    try:
        on_main_process(work)
    except Exception as error:
        return type(error).__name__, str(error)
    return "", ""


def test_the_work_is_done_once_and_all_have_its_result(in_two_processes) -> None:
    def process(rank: int) -> dict:
        return dict(mine=os.getpid(), **on_main_process(lambda: dict(main=os.getpid(), matrix=torch.eye(2))))

    main, other = in_two_processes(process)
    assert main["main"] == other["main"] == main["mine"] != other["mine"]
    assert torch.equal(main["matrix"], torch.eye(2))
    assert torch.equal(other["matrix"], torch.eye(2))


def test_a_failure_reaches_all_and_nobody_waits(in_two_processes) -> None:
    def process(rank: int) -> dict:
        found = dict(error=outcome(fail), unreadable=outcome(fail_unreadably))
        return dict(found, after=on_main_process(lambda: "still together"))

    main, other = in_two_processes(process)
    assert main["error"] == other["error"] == ("FileNotFoundError", "there is no cache.bin")
    assert main["unreadable"] == ("UnreadableError", "no luck")
    assert other["unreadable"] == ("RuntimeError", "UnreadableError on the main process: no luck")
    assert main["after"] == other["after"] == "still together"


def test_alone_it_is_a_call() -> None:
    assert on_main_process(os.getpid) == os.getpid()
    with pytest.raises(FileNotFoundError, match=r"cache\.bin"):
        on_main_process(fail)
