import copy
import json
import os
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from open_clip.model import CLIP
from safetensors.torch import save_file

from densevlm_mm.models.text import cache_folder, kept_embeddings, text_tower
from densevlm_mm.models.text.builder import build_class_embeddings
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings
from densevlm_mm.models.text.prompt_encoder import text_tower_fingerprint
from densevlm_mm.models.text.request import embeddings_command, resolve_class_embeddings
from densevlm_mm.vocabulary import Vocabulary
from tests.fixtures.text_clips import write_clip

VOCABULARY = Vocabulary("pets", ("cat, kitty", "dog"), (("cat", "kitty"), ("dog",)), np.array([True, False]))
PLAIN = {"vocabulary": VOCABULARY, "templates": "plain"}


@pytest.fixture(autouse=True)
def _new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one process remembers is not what the next one finds."""
    monkeypatch.setattr(kept_embeddings, "_RECENT", {})
    monkeypatch.setattr(cache_folder, "_UNWRITABLE", set())


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints whose text tower was loaded."""
    loaded: list[str] = []
    build = text_tower.build_clip
    monkeypatch.setattr(
        text_tower, "build_clip", lambda *args, **kw: (loaded.append(str(args[1])), build(*args, **kw))[1]
    )
    return loaded


@pytest.fixture
def encodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The vocabularies that were encoded."""
    encoded: list[str] = []
    build = build_class_embeddings

    def counted(vocabulary: Vocabulary, *args: Any, **options: Any) -> ClassEmbeddings:
        encoded.append(vocabulary.name)
        return build(vocabulary, *args, **options)

    monkeypatch.setattr("densevlm_mm.models.text.request.build_class_embeddings", counted)
    return encoded


@pytest.fixture
def resolve(clip_config: dict[str, Any], tiny_clip_file: Path, tmp_path: Path) -> Callable[..., ClassEmbeddings]:
    def resolve(cfg: Any = PLAIN, **options: Any) -> ClassEmbeddings:
        defaults = dict(model_name=clip_config, checkpoint=str(tiny_clip_file), cache_dir=tmp_path / "cache")
        return resolve_class_embeddings(cfg, **{**defaults, **options})

    return resolve


def kept_file(folder: Path) -> Path:
    (path,) = folder.glob("*.safetensors")
    return path


def test_the_second_run_does_not_load_the_model(resolve, loads) -> None:
    config = {"vocabulary": "set_133", "templates": "photo"}
    first = resolve(config)
    second = resolve(config)
    assert len(loads) == 1
    assert torch.equal(first.embeddings, second.embeddings)
    assert second.classes == first.classes == Vocabulary.load("set_133").classes
    # Thing flags are no part of what was built: the same file serves the published threshold.
    assert int(resolve({**config, "num_things": 79}).thing_mask.sum()) == 79
    assert len(loads) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"templates": "plain"},
        {"normalization": "prompt"},
        {"synonyms": "joined"},
        {"vocabulary": "ade20k_150"},
        {"extra_classes": ["background"]},
    ],
)
def test_other_options_are_built_anew(change: dict[str, Any], resolve, tmp_path: Path) -> None:
    config = {"vocabulary": "ade20k_150_d2", "templates": "photo"}
    first, second = resolve(config), resolve({**config, **change})
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 2
    assert first.embeddings.shape != second.embeddings.shape or not torch.equal(first.embeddings, second.embeddings)


def test_what_cannot_change_a_result_is_not_asked_for(
    resolve, encodings, tiny_clip: CLIP, clip_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = resolve()
    monkeypatch.setattr("open_clip.__version__", "99.0")
    # Another name of the vocabulary, of its classes and of the templates, whose prompts are the same.
    renamed = Vocabulary("animals", ("felines", "dogs"), VOCABULARY.synonyms)
    other_names = resolve({"vocabulary": renamed, "templates": ["{}"]})
    assert other_names.classes == ("felines", "dogs")
    assert (other_names.name, other_names.is_thing) == ("animals", None)
    # Another file with another image tower, in another spelling of the same architecture.
    torch.nn.init.normal_(tiny_clip.visual.proj)
    other_file = write_clip(tiny_clip, tmp_path / "student.safetensors")
    reordered = {"model_cfg": dict(reversed(clip_config.items())), "preprocess_cfg": {}}
    reordered["model_cfg"]["vision_cfg"] = dict(clip_config["vision_cfg"], patch_dropout=0.1)
    other_tower = resolve(model_name=reordered, checkpoint=other_file)
    assert encodings == ["pets"]
    for same in (other_names, other_tower):
        assert torch.equal(same.embeddings, first.embeddings)
    other_tower.check_encoder(24, reordered)


def test_other_weights_at_the_same_path_are_built_anew(resolve, tiny_clip: CLIP, tiny_clip_file: Path) -> None:
    first = resolve()
    before = tiny_clip_file.stat()
    torch.nn.init.normal_(tiny_clip.text_projection)
    write_clip(tiny_clip, tiny_clip_file)
    os.utime(tiny_clip_file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert tiny_clip_file.stat().st_size == before.st_size
    second = resolve()
    assert first.fingerprint != second.fingerprint == text_tower_fingerprint(tiny_clip)
    assert not torch.equal(first.embeddings, second.embeddings)


def test_other_architecture_with_the_same_weights_is_built_anew(resolve, clip_config: dict[str, Any]) -> None:
    first = resolve()
    second = resolve(model_name={**clip_config, "quick_gelu": True})
    assert first.fingerprint == second.fingerprint
    assert not torch.equal(first.embeddings, second.embeddings)


def test_the_content_of_a_byte_pair_file_counts_and_not_its_path(
    resolve, encodings, clip_config: dict[str, Any], tmp_path: Path
) -> None:
    import gzip

    import open_clip

    original = Path(open_clip.__file__).parent / "bpe_simple_vocab_16e6.txt.gz"

    def with_bpe(name: str, content: bytes) -> dict[str, Any]:
        (tmp_path / name).write_bytes(gzip.compress(content))
        config = copy.deepcopy(clip_config)
        config["text_cfg"]["tokenizer_kwargs"] = {"bpe_path": str(tmp_path / name)}
        return config

    merges = gzip.decompress(original.read_bytes())
    lines = merges.split(b"\n")
    swapped = b"\n".join([lines[0], lines[2], lines[1], *lines[3:]])
    compressed = with_bpe("one.txt.gz", merges)
    resolve(model_name=compressed)
    (tmp_path / "two.txt.gz").write_bytes((tmp_path / "one.txt.gz").read_bytes())
    moved = copy.deepcopy(compressed)
    moved["text_cfg"]["tokenizer_kwargs"]["bpe_path"] = str(tmp_path / "two.txt.gz")
    resolve(model_name=moved)
    assert len(encodings) == 1
    resolve(model_name=with_bpe("two.txt.gz", swapped))
    assert len(encodings) == 2


def test_the_folder_can_be_moved(resolve, encodings, tmp_path: Path) -> None:
    first = resolve()
    (tmp_path / "cache").rename(tmp_path / "moved")
    second = resolve(cache_dir=tmp_path / "moved")
    assert torch.equal(first.embeddings, second.embeddings)
    assert encodings == ["pets"]


def test_config_argument_environment_and_default_say_where(resolve, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DENSEVLM_MM_CACHE", str(tmp_path / "environment"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "default"))
    resolve({**PLAIN, "cache_dir": tmp_path / "config"}, cache_dir=tmp_path / "argument")
    assert kept_file(tmp_path / "config")
    resolve(cache_dir=tmp_path / "argument")
    assert kept_file(tmp_path / "argument")
    resolve(cache_dir=None)
    assert kept_file(tmp_path / "environment" / "class_embeddings")
    monkeypatch.delenv("DENSEVLM_MM_CACHE")
    resolve(cache_dir=None)
    assert kept_file(tmp_path / "default" / "densevlm_mm" / "class_embeddings")


# The cache may be damaged in any way: the run has the same numbers.


def hole(content: bytes) -> bytes:
    return content[:-64] + bytes(64)


def cut(content: bytes) -> bytes:
    return content[:50]


def without_metadata(content: bytes) -> bytes:
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"].pop("templates")
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize("damage", [hole, cut, without_metadata, lambda _: b"", lambda _: b"{}", lambda c: c[::-1]])
def test_a_damaged_file_is_made_anew_with_the_same_numbers(
    damage: Callable, resolve, encodings, tmp_path: Path, monkeypatch, capture_log
) -> None:
    first = resolve()
    path = kept_file(tmp_path / "cache")
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setattr(kept_embeddings, "_RECENT", {})
    assert torch.equal(resolve().embeddings, first.embeddings)
    assert len(encodings) == 2
    assert any("made anew" in message and str(path) in message for message in capture_log())
    assert torch.equal(ClassEmbeddings.load(path).embeddings, first.embeddings)
    resolve()
    assert len(encodings) == 2


@pytest.mark.parametrize("name", ["checkpoint_digests.json", "text_towers.json"])
@pytest.mark.parametrize("content", ["", "[]", "{", "KEY: null", 'KEY: {"fingerprint": 7, "sha256": []}', "0" * 64])
def test_damaged_facts_beside_them_cost_time_alone(
    name: str, content: str, resolve, encodings, loads, tmp_path: Path
) -> None:
    first = resolve()
    memo = tmp_path / "cache" / name
    known = memo.read_text()
    (key,) = json.loads(known)
    if content.startswith("KEY"):
        content = "{" + content.replace("KEY", json.dumps(key)) + "}"
    elif content == "0" * 64:  # another hash, in the place of the right one
        content = known.replace(next(v for v in json.loads(known)[key].values() if len(str(v)) == 64), content)
    memo.write_text(content)
    assert torch.equal(resolve().embeddings, first.embeddings)
    assert len(encodings) == 1
    assert json.loads(memo.read_text())[key].keys() == json.loads(known)[key].keys()  # mended


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    mode = folder.stat().st_mode
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        yield
    finally:
        folder.chmod(mode)


@contextmanager
def full_disk(folder: Path) -> Iterator[None]:
    """No file may be longer than 100 bytes."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)


@contextmanager
def a_file_in_its_place(folder: Path) -> Iterator[None]:
    folder.rmdir()
    folder.write_text("")
    yield


@pytest.mark.parametrize("fault", [read_only, full_disk, a_file_in_its_place])
def test_a_folder_that_cannot_be_written_is_done_without(
    fault: Callable, resolve, encodings, tmp_path: Path, capture_log
) -> None:
    if fault is read_only and os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    expected = resolve(cache_dir=tmp_path / "writable")
    kept_embeddings._RECENT.clear()
    folder = tmp_path / "cache"
    folder.mkdir()
    with fault(folder):
        built = [resolve().embeddings for _ in range(3)]
    assert all(torch.equal(embeddings, expected.embeddings) for embeddings in built)
    assert len(encodings) == 2  # not again in the same process
    assert sum("not kept" in message for message in capture_log()) == 1
    assert not list(tmp_path.glob("cache/*.safetensors"))


def test_a_read_only_folder_is_read(resolve, encodings, tmp_path: Path) -> None:
    first = resolve()
    with read_only(tmp_path / "cache"):
        assert torch.equal(resolve().embeddings, first.embeddings)
    assert len(encodings) == 1


def test_same_prompts_of_two_vocabularies_are_encoded_once(resolve, encodings) -> None:
    resolve({"vocabulary": "set_133", "templates": "photo"})
    resolve({"vocabulary": "coco_panoptic_133", "templates": "photo"})
    assert encodings == ["set_133"]


def test_embeddings_of_random_weights_are_not_kept(resolve, tmp_path: Path) -> None:
    assert resolve(checkpoint="random").embed_dim == 24
    assert not (tmp_path / "cache").exists()


def test_a_config_from_mmengine_is_taken(resolve, clip_config: dict[str, Any]) -> None:
    config = Config({"e": {"vocabulary": "set_133", "templates": "plain", "num_things": 79}, "model": clip_config})
    built = resolve(config.e, model_name=config.model)
    assert int(built.thing_mask.sum()) == 79
    built.check_encoder(24, clip_config)


@pytest.mark.parametrize("names", [["cat", "dog"], ("cat", "dog")])
def test_a_list_of_names_is_taken(resolve, names: Any) -> None:
    built = resolve(Config({"e": {"vocabulary": names, "templates": "plain"}}).e)
    assert built.classes == ("cat", "dog")


def test_the_config_may_name_its_own_model(resolve, clip_config: dict[str, Any], tiny_clip_file: Path) -> None:
    config = {**PLAIN, "model_name": clip_config, "checkpoint": str(tiny_clip_file)}
    resolve(config, model_name="EVA02-L-14-336", checkpoint="gone.pt").check_encoder(24, clip_config)


def test_the_checkpoint_may_say_which_model_it_is(
    resolve, tiny_clip: CLIP, clip_config: dict[str, Any], tmp_path: Path, loads
) -> None:
    path = tmp_path / "exported.safetensors"
    tensors = {name: tensor.contiguous() for name, tensor in tiny_clip.state_dict().items()}
    save_file(tensors, path, {"model_name": "custom", "model_cfg": json.dumps(clip_config)})
    first = resolve(model_name=None, checkpoint=path)
    first.check_encoder(24, clip_config)
    assert torch.equal(resolve().embeddings, first.embeddings)  # the same text tower in another file
    assert resolve(model_name=None, checkpoint=path).model == first.model
    assert len(loads) == 2  # one for each file


# Files that the user names.


def test_files_are_loaded_and_checked(tiny_clip: CLIP, clip_config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pets.safetensors"
    built = build_class_embeddings(VOCABULARY, clip_config, clip_model=tiny_clip, templates="plain")
    built.save(path)
    assert torch.equal(resolve_class_embeddings(str(path)).embeddings, built.embeddings)
    assert resolve_class_embeddings({"file": path, "num_things": 2}).thing_mask.tolist() == [True, True]
    assert resolve_class_embeddings(built) is built
    described = {"file": path, "vocabulary": VOCABULARY, "templates": "plain", "num_things": 0}
    assert not resolve_class_embeddings(described, model_name=clip_config).thing_mask.any()
    assert resolve_class_embeddings({"file": path, "vocabulary": ["cat, kitty", "dog"]}).classes == VOCABULARY.classes
    with pytest.raises(ValueError, match=r"other templates \('plain'\).*'vild'"):
        resolve_class_embeddings({**described, "templates": "vild"})
    with pytest.raises(ValueError, match="other classes"):
        resolve_class_embeddings({**described, "vocabulary": "set_316"})
    with pytest.raises(ValueError, match="the image encoder is 'EVA02-B-16'"):
        resolve_class_embeddings(path, model_name="EVA02-B-16")


@pytest.mark.parametrize("damage", [hole, cut, without_metadata])
def test_a_damaged_file_is_an_error_with_the_command_that_makes_it(
    damage: Callable, tiny_clip: CLIP, clip_config: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "pets.safetensors"
    build_class_embeddings(["cat", "dog"], clip_config, clip_model=tiny_clip, templates="plain").save(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"pets\.safetensors.*damaged") as error:
        resolve_class_embeddings(
            {"file": path, "vocabulary": ["cat", "dog"]}, model_name="EVA02-B-16", checkpoint="eva.pt"
        )
    command = f"build_class_embeddings.py cat dog --model EVA02-B-16 --checkpoint eva.pt --out {path}` makes it"
    assert command in str(error.value)


def test_a_missing_file_comes_with_the_command_that_makes_it() -> None:
    config = {
        "file": "data/e.safetensors",
        "vocabulary": "set_316",
        "normalization": "prompt",
        "num_things": 203,
        "extra_classes": ["traffic light"],
    }
    with pytest.raises(FileNotFoundError) as error:
        resolve_class_embeddings(config, model_name="EVA02-B-16", checkpoint="eva.pt")
    command = (
        "python tools/build_class_embeddings.py set_316 --model EVA02-B-16 --checkpoint eva.pt --normalization prompt "
        "--num-things 203 --extra-class 'traffic light' --out data/e.safetensors"
    )
    assert command in str(error.value)
    assert command in embeddings_command({**config, "model_name": "EVA02-B-16", "checkpoint": "eva.pt"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"vocabluary": "set_316"}, "vocabluary"),
        ({"templates": "vild"}, "'file' or 'vocabulary'"),
        ({"vocabulary": "set_316"}, "needs a model_name and a checkpoint"),
        ({"vocabulary": "set_316", "checkpoint": "x", "normalization": "sometimes"}, "sometimes"),
        ({"vocabulary": "set_316", "checkpoint": "x", "synonyms": "most"}, "most"),
        ({"vocabulary": "set_316", "checkpoint": "x", "templates": "no_set"}, "no_set"),
    ],
)
def test_impossible_configs_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_class_embeddings(config)
