"""Two processes that meet."""

import subprocess
import sys
from pathlib import Path

import pytest

from densevlm_mm.engine import agreement
from densevlm_mm.engine.agreement import FAILED, GO_ON, Agreement

# They meet twice; then the second fails, and then it goes without a word.
MEET = """
import sys
import torch.distributed as dist

rank, store, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.path.insert(0, folder)  # the module alone: the whole package takes ten seconds to import
from agreement import FAILED, GO_ON, Agreement, StoppedByAnotherProcess

dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
agreement = Agreement()
print(agreement.largest(GO_ON))
print(agreement.largest(15 * rank))
if rank == 1:
    print(agreement.tell(FAILED, patience=60))
    raise SystemExit
try:
    agreement.largest(GO_ON)
except StoppedByAnotherProcess as stopped:
    print("stopped", stopped.code)
try:
    agreement.largest(GO_ON)
except ConnectionError as error:
    print(str(error)[:39])
print(agreement.tell(GO_ON, patience=60))
"""


def test_all_know_the_largest_number_and_that_one_has_failed(tmp_path) -> None:
    arguments = [str(tmp_path / "store"), str(Path(agreement.__file__).parent)]
    processes = [
        subprocess.Popen([sys.executable, "-c", MEET, str(rank), *arguments], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    first, second = (process.communicate(timeout=300)[0].splitlines() for process in processes)
    assert first == ["0", "15", "stopped 1", "another process of the run has ended or", "False"]
    assert second == ["0", "15", "True"]


@pytest.mark.parametrize("number", [GO_ON, 15])
def test_one_process_agrees_with_itself(number) -> None:
    assert Agreement().largest(number) == number
    assert Agreement().tell(FAILED, patience=0)
