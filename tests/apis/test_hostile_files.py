"""Files that would run code when they are loaded without care, in every place that takes a checkpoint."""

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner.checkpoint import CheckpointLoader

from densevlm_mm.apis import claim_work_dir, use_checkpoint
from densevlm_mm.models.clip.model_source import read_description
from densevlm_mm.models.encoders import DenseImageEncoder
from densevlm_mm.models.text import ClassEmbeddings
from tests.fixtures.hostile_files import CallsOnLoad, RestoredByCode
from tests.fixtures.work_dirs import let_go_of_work_dirs


def content(trace: Path) -> dict:
    """A checkpoint of a Runner with an object more, which writes a file when it is made."""
    plain = dict(state_dict={"visual.a": torch.ones(2)}, meta=dict(iter=1, epoch=0), optimizer={}, message_hub={})
    return {**plain, "extra": CallsOnLoad(os.mkdir, str(trace))}


def zipped(path: Path, trace: Path) -> None:
    torch.save(content(trace), path)


def legacy(path: Path, trace: Path) -> None:
    torch.save(content(trace), path, _use_new_zipfile_serialization=False)


def plain_pickle(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps(content(trace)))


def old_pickle(path: Path, trace: Path) -> None:
    path.write_bytes(pickle.dumps(content(trace), protocol=0))


def object_array(path: Path, trace: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([CallsOnLoad(os.mkdir, str(trace))], dtype=object), allow_pickle=True)


def object_arrays(path: Path, trace: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, embeddings=np.array([CallsOnLoad(os.mkdir, str(trace))], dtype=object))


def second_pickle_in_the_zip(path: Path, trace: Path) -> None:
    """Beside an honest one, under names that another reader may prefer."""
    hostile = io.BytesIO()
    torch.save(content(trace), hostile)
    torch.save({key: value for key, value in content(trace).items() if key != "extra"}, path)
    with zipfile.ZipFile(hostile) as archive:
        data = next(archive.read(name) for name in archive.namelist() if name.endswith("data.pkl"))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("data.pkl", data)
        archive.writestr(f"../{trace.name}", b"")


def torchscript(path: Path, trace: Path) -> None:
    torch.jit.script(RestoredByCode(str(trace))).save(str(path))


KINDS = [
    zipped,
    legacy,
    plain_pickle,
    old_pickle,
    object_array,
    object_arrays,
    second_pickle_in_the_zip,
    torchscript,
]


def as_argument_of_the_tools(path: Path) -> None:
    use_checkpoint(Config(dict(model=dict(type="RegionPretrainer", encoder=dict(checkpoint="x")))), str(path))


def as_encoder_weights(path: Path) -> None:
    DenseImageEncoder("TinyScenes-S", str(path))


def as_what_mmengine_loads(path: Path) -> None:
    CheckpointLoader.load_checkpoint(str(path))


def as_the_one_to_resume(path: Path) -> None:
    cfg = Config(dict(work_dir=str(path.parent / "run"), load_from=None, resume=False, launcher="none"))
    try:
        claim_work_dir(cfg, str(path))
    finally:
        let_go_of_work_dirs()


def as_the_last_one(path: Path) -> None:
    path.rename(path.with_name("iter_1.pth"))
    (path.parent / "last_checkpoint").write_text(str(path.with_name("iter_1.pth")))
    cfg = Config(dict(work_dir=str(path.parent), load_from=None, resume=False, launcher="none"))
    try:
        claim_work_dir(cfg, "auto")
    finally:
        let_go_of_work_dirs()


def as_class_embeddings(path: Path) -> None:
    ClassEmbeddings.load(str(path))


def as_what_is_exported(path: Path) -> None:
    if not read_description(path):
        raise ValueError("says of no model")


PLACES = [
    as_argument_of_the_tools,
    as_encoder_weights,
    as_what_mmengine_loads,
    as_the_one_to_resume,
    as_the_last_one,
    as_class_embeddings,
    as_what_is_exported,
]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_nothing_runs(
    place: Callable[[Path], None], kind: Callable[[Path, Path], None], suffix: str, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    path, trace = tmp_path / "files" / f"stranger{suffix}", tmp_path / "it_ran"
    kind(path, trace)
    with pytest.raises(ValueError, match=r"stranger|iter_1|says of no model"):
        place(path)
    assert [each.name for each in tmp_path.iterdir()] == ["files"]


@pytest.mark.parametrize("name", ["http://127.0.0.1:9/iter_1.pth", "../iter_1.pth", "{}/iter_1.pth"])
def test_last_checkpoint_names_nothing_outside_of_the_run(name: str, tmp_path: Path) -> None:
    torch.save(dict(meta={}, state_dict={}, optimizer={}, message_hub={}), tmp_path / "iter_1.pth")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last_checkpoint").write_text(name.format(tmp_path))
    cfg = Config(dict(work_dir=str(tmp_path / "run"), load_from=None, resume=False, launcher="none"))
    with pytest.raises(ValueError, match=r"no checkpoint in .*run to go on from:\n  iter_1\.pth is gone"):
        claim_work_dir(cfg, "auto")
    let_go_of_work_dirs()
