import json
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from densevlm_mm.models.clip import resolve_architecture
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings, build_command


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


def test_encoder_may_be_called_by_any_of_its_names(embeddings: ClassEmbeddings) -> None:
    replace(embeddings, model="ViT-B-16").check_encoder(4, "ViT-B/16")
    config = open_clip.get_model_config("ViT-B-16")
    replace(embeddings, model="ViT-B-16").check_encoder(4, config)
    replace(embeddings, model=resolve_architecture(config).model_id).check_encoder(4, "ViT-B-16")
    with pytest.raises(ValueError, match="the image encoder is 'ViT-B-16-quickgelu'"):
        replace(embeddings, model=resolve_architecture(config).model_id).check_encoder(4, "ViT-B-16-quickgelu")


def test_a_hole_of_zeros_is_noticed(embeddings: ClassEmbeddings, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    embeddings.save(path)
    content = bytearray(path.read_bytes())
    content[-24:-8] = bytes(16)  # in the numbers, which are finite and of the right shape as before
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"e\.safetensors' is damaged.*build_class_embeddings.py .* makes it"):
        ClassEmbeddings.load(path)


def test_no_changed_byte_goes_unnoticed(embeddings: ClassEmbeddings, tmp_path: Path) -> None:
    path = tmp_path / "e.safetensors"
    embeddings.save(path)
    whole = path.read_bytes()
    noticed = 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        try:
            loaded = ClassEmbeddings.load(path)
        except ValueError:
            noticed += 1
        else:  # blanks that fill up the header
            assert torch.equal(loaded.embeddings, embeddings.embeddings)
            assert loaded.classes == embeddings.classes
    assert noticed > 0.95 * len(whole)


@pytest.mark.parametrize("size", [0, 7, 200, -1])
def test_a_file_that_is_cut_short_is_refused(embeddings: ClassEmbeddings, tmp_path: Path, size: int) -> None:
    path = tmp_path / "e.safetensors"
    embeddings.save(path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"e\.safetensors"):
        ClassEmbeddings.load(path)


@pytest.mark.parametrize("key", ["classes", "is_thing", "templates", "normalization", "sha256"])
@pytest.mark.parametrize("value", [None, "[]"])
def test_metadata_that_are_missing_or_changed_are_noticed(
    embeddings: ClassEmbeddings, tmp_path: Path, key: str, value: str | None
) -> None:
    path = tmp_path / "e.safetensors"
    embeddings.save(path)
    with safe_open(path, "pt") as file:
        metadata = {name: text for name, text in file.metadata().items() if name != key}
    save_file({"embeddings": embeddings.embeddings}, path, metadata | ({} if value is None else {key: value}))
    with pytest.raises(ValueError, match="checksum"):
        ClassEmbeddings.load(path)


def test_a_full_disk_is_an_os_error_and_leaves_nothing(embeddings: ClassEmbeddings, tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        with pytest.raises(OSError, match=r"e\.safetensors could not be written"):
            embeddings.save(tmp_path / "e.safetensors")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_command_names_what_it_can() -> None:
    assert build_command(["boat", "traffic light"], "EVA02-B-16", "eva.pt", out="e.safetensors") == (
        "`python tools/build_class_embeddings.py boat 'traffic light' --model EVA02-B-16 --checkpoint eva.pt "
        "--out e.safetensors`"
    )
    assert "embeddings.py NAMES.txt --model MODEL_CONFIG.json" in build_command([str(i) for i in range(99)], {})


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
