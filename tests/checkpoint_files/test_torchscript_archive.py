"""The reference is torch.jit.load, which runs an archive; ours must give the same tensors and run nothing."""

import io
import os
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from densevlm_mm.checkpoint_files import read_checkpoint
from densevlm_mm.checkpoint_files.torchscript_archive import read_torchscript
from tests.fixtures.hostile_files import CallsOnLoad, RestoredByCode

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("mask", torch.ones(2), persistent=False)
        self.no_buffer = torch.ones(3)
        self.sizes = [1, 2]
        self.rates = [0.5]
        self.name = "block"
        self.nothing: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Clip(nn.Module):
    """Nested modules, tied parameters, half precision, views, integers, and attributes that are no weights."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(Block(), Block())
        self.blocks[1].linear.weight = self.blocks[0].linear.weight
        self.fp16 = nn.Linear(4, 2).half()
        self.proj = nn.Parameter(torch.arange(12.0).view(3, 4).bfloat16())
        self.scale = nn.Parameter(torch.tensor(4.6052))
        self.register_buffer("column", torch.arange(12.0).view(3, 4).t()[1:, ::2])
        self.register_buffer("empty", torch.zeros(0, 3))
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(7))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x) * self.scale


def script(module: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module).save(str(path))
    return path


def rewrite(path: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy an archive, every record through ``change``; None leaves it out."""
    with zipfile.ZipFile(path) as old:
        records = {name: change(name, old.read(name)) for name in old.namelist()}
    changed = path.with_name("changed.pt")
    with zipfile.ZipFile(changed, "w") as new:
        for name, content in records.items():
            if content is not None:
                new.writestr(name, content)
    return changed


def test_gives_what_torch_jit_load_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = script(Clip(), tmp_path / "clip.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = torch.jit.load(path).state_dict()
    found = read_torchscript(path)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value), name
    assert "blocks.0.no_buffer" not in found
    assert found["blocks.0.linear.weight"].data_ptr() == found["blocks.1.linear.weight"].data_ptr()
    assert found["column"].stride() == expected["column"].stride()


def test_reads_archives_packed_anew_and_under_any_name(tmp_path: Path) -> None:
    path = rewrite(script(Clip(), tmp_path / "clip.pt"), lambda name, content: content)
    assert read_torchscript(path).keys() == read_torchscript(tmp_path / "clip.pt").keys()


def test_code_that_restores_a_module_is_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = script(nn.Sequential(nn.Linear(2, 2), RestoredByCode(str(trace))), tmp_path / "clip.pt")
    with pytest.raises(
        ValueError, match=r"clip\.pt.*could run any code.*RestoredByCode restores itself by code of its own"
    ):
        read_checkpoint(path)
    assert not trace.exists()
    torch.jit.load(path)
    assert trace.exists()  # the threat is real


def test_a_setstate_planted_in_the_code_is_not_run(tmp_path: Path) -> None:
    """Weights may be stored as in any honest archive: the code alone asks."""

    def plant(name: str, content: bytes) -> bytes:
        if not name.endswith(".py") or b"class Linear(" not in content:
            return content
        method = b"  def __setstate__(self, state: Dict[str, Tensor]) -> NoneType:\n    return None\n"
        return content.replace(b"  def forward", method + b"  def forward")

    path = rewrite(script(nn.Sequential(nn.Linear(2, 2)), tmp_path / "clip.pt"), plant)
    with pytest.raises(ValueError, match="Linear restores itself by code of its own"):
        read_checkpoint(path)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("function", [os.mkdir, os.system, eval, getattr, pickle.loads, torch.load])
def test_functions_named_in_data_pkl_are_not_called(tmp_path: Path, protocol: int, function: Callable) -> None:
    trace = tmp_path / "trace"
    arguments = {os.mkdir: str(trace), os.system: f"touch {trace}", eval: f"open({str(trace)!r}, 'w')"}
    payload = pickle.dumps(CallsOnLoad(function, arguments.get(function, b"x")), protocol)
    path = script(nn.Linear(2, 2), tmp_path / "clip.pt")
    path = rewrite(path, lambda name, content: payload if name.endswith("/data.pkl") else content)
    with pytest.raises(ValueError, match=r"changed\.pt.*could run any code: it asks for"):
        read_checkpoint(path)
    assert not trace.exists()


def instructions(*parts: bytes) -> bytes:
    return b"\x80\x02" + b"".join(parts) + b"."


MODULE = b"c__torch__\nM\n)\x81"  # an instance of class M
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def tensor(dtype: bytes = b"FloatStorage", numel: int = 4, offset: int = 0, size: int = 4, stride: int = 1) -> bytes:
    storage = b"(X\x07\x00\x00\x00storagectorch\n" + dtype + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    storage += b"K" + bytes([numel]) + b"tQ"
    shape = b"(K" + bytes([size]) + b"t(K" + bytes([stride]) + b"t"
    return REBUILD + b"(" + storage + b"K" + bytes([offset]) + shape + b"\x89}tR"


def module_with(value: bytes) -> bytes:
    return instructions(MODULE, b"}X\x01\x00\x00\x00w", value, b"sb")


def craft(path: Path, data_pkl: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", data_pkl)
        archive.writestr("a/constants.pkl", b"")
        archive.writestr("a/data/0", torch.arange(4.0).numpy().tobytes())
    return path


def test_crafted_instructions_that_are_honest_are_read(tmp_path: Path) -> None:
    path = craft(tmp_path / "clip.pt", module_with(tensor(offset=1, size=2)))
    assert torch.equal(read_torchscript(path)["w"], torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("data_pkl", "problem"),
    [
        (module_with(tensor(offset=1)), "does not lie within its storage"),
        (module_with(tensor(size=2, stride=4)), "does not lie within its storage"),
        (module_with(tensor(size=200, stride=0)), "does not lie within its storage"),
        (module_with(tensor(numel=5)), "16 of 20 bytes"),
        (module_with(tensor(dtype=b"QInt8Storage")), "asks for torch.QInt8Storage"),
        (module_with(b"csparse\nrebuild\n"), "asks for sparse.rebuild"),
        (instructions(MODULE), "holds no module"),
        (instructions(b"}"), "holds no module"),
        (instructions(MODULE, b"K\x01b"), "restores itself by code"),
        (instructions(REBUILD, b"}X\x01\x00\x00\x00a\x88sb"), "cannot be read"),  # to change the function itself
        (instructions(b"c__torch__\nM\n}X\x0c\x00\x00\x00__setstate__K\x01sb"), "cannot be read"),
        (instructions(b"\x8b\xff\xff\xff\x7f"), "damaged"),
        (b"\x80\x02", "damaged"),
        (b"", "damaged"),
    ],
)
def test_crafted_instructions_are_refused(tmp_path: Path, data_pkl: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_checkpoint(craft(tmp_path / "clip.pt", data_pkl))


def test_modules_that_contain_themselves_are_refused(tmp_path: Path) -> None:
    recursive = instructions(MODULE, b"q\x00}X\x01\x00\x00\x00wh\x00sb")
    with pytest.raises(ValueError, match="contain each other"):
        read_checkpoint(craft(tmp_path / "clip.pt", recursive))


@pytest.mark.parametrize("missing", ["/data.pkl", "/data/0"])
def test_archives_with_missing_records_are_refused(tmp_path: Path, missing: str) -> None:
    path = script(nn.Linear(2, 2), tmp_path / "clip.pt")
    path = rewrite(path, lambda name, content: None if name.endswith(missing) else content)
    with pytest.raises(ValueError, match=r"changed\.pt.*(data\.pkl|lacks the record data/0)"):
        read_checkpoint(path)


@pytest.mark.parametrize("without", ["code", "buffers"])
def test_code_that_does_not_tell_weights_from_other_tensors_leaves_all(tmp_path: Path, without: str) -> None:
    """As that of torch 1.4, which named parameters alone."""

    def drop(name: str, content: bytes) -> bytes | None:
        if not name.endswith(".py"):
            return content
        lines = [line for line in content.splitlines(keepends=True) if b"__buffers__" not in line]
        return None if without == "code" else b"".join(lines)

    path = script(nn.BatchNorm1d(2), tmp_path / "clip.pt")
    assert read_torchscript(rewrite(path, drop)).keys() == nn.BatchNorm1d(2).state_dict().keys()


def test_big_endian_archives_are_refused(tmp_path: Path) -> None:
    path = script(nn.Linear(2, 2), tmp_path / "clip.pt")
    path = rewrite(path, lambda name, content: b"big" if name.endswith("/byteorder") else content)
    with pytest.raises(ValueError, match="big-endian"):
        read_checkpoint(path)


def test_instructions_are_written_as_the_pickle_module_reads_them() -> None:
    """Guards the hand-written pickles above against typing errors that would make every test pass."""
    import pickletools

    pickletools.dis(module_with(tensor()), out=io.StringIO())
