import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from densevlm_mm.models.text.class_embeddings import ClassEmbeddings


@pytest.fixture
def embeddings() -> ClassEmbeddings:
    return ClassEmbeddings(
        name="three",
        classes=("cat", "fruit", "fruit"),
        is_thing=np.array([True, True, False]),
        embeddings=torch.arange(12.0).view(3, 4),
        model="EVA02-B-16",
        templates="vild",
        normalization="class",
        fingerprint="abc",
        synonyms="first",
        precision="bfloat16",
    )


def test_round_trip_keeps_everything(embeddings: ClassEmbeddings, tmp_path: Path) -> None:
    path = tmp_path / "made" / "on_demand.safetensors"
    embeddings.save(path)
    loaded = ClassEmbeddings.load(path)
    assert torch.equal(loaded.embeddings, embeddings.embeddings)
    assert torch.equal(loaded.thing_mask, torch.tensor([True, True, False]))
    for field in ("name", "classes", "model", "templates", "normalization", "fingerprint", "synonyms", "precision"):
        assert getattr(loaded, field) == getattr(embeddings, field)
    assert loaded.package_version == embeddings.package_version
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # no temporary file left
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["classes"]) == ["cat", "fruit", "fruit"]


def test_writers_and_readers_at_once_never_see_half_a_file(embeddings: ClassEmbeddings, tmp_path: Path) -> None:
    path = tmp_path / "shared.safetensors"
    embeddings.save(path)
    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(embeddings.save, path) for _ in range(40)]
        reading = [pool.submit(ClassEmbeddings.load, path) for _ in range(40)]
        assert all(torch.equal(read.result().embeddings, embeddings.embeddings) for read in reading)
        assert all(write.exception() is None for write in writing)


def test_without_thing_flags(embeddings: ClassEmbeddings, tmp_path: Path) -> None:
    replace(embeddings, is_thing=None).save(tmp_path / "e.safetensors")
    loaded = ClassEmbeddings.load(tmp_path / "e.safetensors")
    assert loaded.is_thing is None
    with pytest.raises(ValueError, match="no thing flags"):
        _ = loaded.thing_mask


def test_select_by_index_and_name(embeddings: ClassEmbeddings) -> None:
    picked = embeddings.select([np.int64(2), "cat"])
    assert picked.classes == ("fruit", "cat")
    assert picked.thing_mask.tolist() == [False, True]
    assert torch.equal(picked.embeddings, embeddings.embeddings[[2, 0]])
    with pytest.raises(KeyError, match="two classes"):
        embeddings.select(["fruit"])
    with pytest.raises(KeyError, match="dog"):
        embeddings.select(["dog"])
    with pytest.raises(KeyError, match="-1"):
        embeddings.select([-1])


def test_num_things(embeddings: ClassEmbeddings) -> None:
    assert embeddings.with_num_things(1).thing_mask.tolist() == [True, False, False]


def test_encoder_must_fit(embeddings: ClassEmbeddings) -> None:
    embeddings.check_encoder(4, "EVA02-B-16")
    embeddings.check_encoder(4, None)
    embeddings.check_encoder(4, "hf-hub:some/repository")
    embeddings.check_encoder(4, "custom")
    with pytest.raises(ValueError, match=r"dimension 4, the image encoder has 5.*--model EVA02-B-16"):
        embeddings.check_encoder(5, "EVA02-B-16")
    with pytest.raises(ValueError, match=r"text tower of 'EVA02-B-16', the image encoder is 'ViT-B-16'"):
        embeddings.check_encoder(4, "ViT-B-16")


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"build_class_embeddings.py .*nothing\.safetensors"):
        ClassEmbeddings.load(tmp_path / "nothing.safetensors")
    garbage = tmp_path / "garbage.safetensors"
    garbage.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="damaged"):
        ClassEmbeddings.load(garbage)
    save_file({"embeddings": torch.zeros(1, 2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no class embeddings"):
        ClassEmbeddings.load(tmp_path / "other.safetensors")


def test_what_does_not_fit_together_is_refused(embeddings: ClassEmbeddings) -> None:
    with pytest.raises(ValueError, match="for 1 classes"):
        replace(embeddings, classes=("cat",))
    with pytest.raises(ValueError, match="1 thing flags"):
        replace(embeddings, is_thing=np.array([True]))
    with pytest.raises(ValueError, match="none"):
        replace(embeddings, normalization="none")
    with pytest.raises(ValueError, match="not finite"):
        replace(embeddings, embeddings=embeddings.embeddings / 0)
