import os
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from mmengine.config import Config
from open_clip.model import CLIP
from safetensors.torch import save_file

from densevlm_mm.models.text import builder
from densevlm_mm.models.text.builder import build_class_embeddings, class_prompts, resolve_class_embeddings
from densevlm_mm.models.text.class_embeddings import ClassEmbeddings
from densevlm_mm.models.text.prompt_encoder import text_tower_fingerprint
from densevlm_mm.vocabulary import Vocabulary

VOCABULARY = Vocabulary("pets", ("cat, kitty", "dog"), (("cat", "kitty"), ("dog",)), np.array([True, False]))


@pytest.fixture
def checkpoint(tiny_clip: CLIP, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    write_checkpoint(tiny_clip, path)
    return path


def write_checkpoint(model: CLIP, path: Path) -> None:
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


def unit_rows(model: CLIP, prompts: list[str]) -> torch.Tensor:
    with torch.no_grad():
        rows = model.encode_text(open_clip.SimpleTokenizer()(prompts))
    return rows / rows.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("normalization", ["class", "prompt"])
def test_all_prompts_of_all_synonyms_are_averaged(
    normalization: str, tiny_clip: CLIP, clip_config: dict[str, Any]
) -> None:
    templates = ["a photo of {article} {}.", "my {}"]
    built = build_class_embeddings(
        VOCABULARY, clip_config, templates=templates, normalization=normalization, clip_model=tiny_clip
    )
    cat = unit_rows(tiny_clip, ["a photo of a cat.", "my cat", "a photo of a kitty.", "my kitty"]).mean(0)
    dog = unit_rows(tiny_clip, ["a photo of a dog.", "my dog"]).mean(0)
    expected = torch.stack([cat, dog])
    assert (expected.norm(dim=1) < 0.99).all()
    if normalization == "class":
        expected = expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(built.embeddings, expected, atol=2e-6, rtol=0)
    assert built.embeddings.dtype == torch.float32
    assert built.classes == VOCABULARY.classes
    assert built.thing_mask.tolist() == [True, False]
    assert built.fingerprint == text_tower_fingerprint(tiny_clip)
    built.check_encoder(24, clip_config)


def test_synonym_rules(tiny_clip: CLIP, clip_config: dict[str, Any]) -> None:
    def build(rule: str) -> torch.Tensor:
        return build_class_embeddings(
            VOCABULARY, clip_config, templates="plain", clip_model=tiny_clip, synonyms=rule
        ).embeddings

    torch.testing.assert_close(build("first")[0], unit_rows(tiny_clip, ["cat"])[0], atol=2e-6, rtol=0)
    torch.testing.assert_close(build("joined")[0], unit_rows(tiny_clip, ["cat, kitty"])[0], atol=2e-6, rtol=0)


def test_batch_size_does_not_matter(tiny_clip: CLIP, clip_config: dict[str, Any]) -> None:
    results = [
        build_class_embeddings(VOCABULARY, clip_config, clip_model=tiny_clip, batch_size=size).embeddings
        for size in (1, 7, 256)
    ]
    torch.testing.assert_close(results[0], results[2], atol=1e-6, rtol=0)
    torch.testing.assert_close(results[1], results[2], atol=1e-6, rtol=0)


def test_class_prompts_are_distinct() -> None:
    vocabulary = Vocabulary("v", ("Cat, cat",), (("Cat", "cat"),))
    assert class_prompts(vocabulary, "photo") == [["a photo of a cat."]]
    assert len(class_prompts(VOCABULARY, "vild")[0]) == 126


def test_wrong_options_fail_before_anything_is_loaded() -> None:
    for options, message in [
        ({"templates": "no_set"}, "no_set"),
        ({"normalization": "sometimes"}, "sometimes"),
        ({"synonyms": "most"}, "most"),
        ({"autocast_dtype": "int8"}, "int8"),
    ]:
        with pytest.raises(ValueError, match=message):
            build_class_embeddings(VOCABULARY, "EVA02-B-16", "no_such_checkpoint.pt", **options)


def test_built_from_a_checkpoint(checkpoint: Path, tiny_clip: CLIP, clip_config: dict[str, Any]) -> None:
    expected = build_class_embeddings(VOCABULARY, clip_config, clip_model=tiny_clip)
    built = build_class_embeddings(VOCABULARY, clip_config, checkpoint)
    torch.testing.assert_close(built.embeddings, expected.embeddings, atol=1e-6, rtol=0)
    assert built.fingerprint == expected.fingerprint


def resolve(config: dict[str, Any], clip_config: dict[str, Any], checkpoint: Path, cache: Path) -> ClassEmbeddings:
    return resolve_class_embeddings(config, model_name=clip_config, checkpoint=str(checkpoint), cache_dir=cache)


def forbid_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(builder, "_load_text_tower", fail)


def test_the_second_run_does_not_load_the_model(
    checkpoint: Path, clip_config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"vocabulary": "set_133", "templates": "photo"}
    first = resolve(config, clip_config, checkpoint, tmp_path / "cache")
    forbid_loading(monkeypatch)
    second = resolve(config, clip_config, checkpoint, tmp_path / "cache")
    assert torch.equal(first.embeddings, second.embeddings)
    assert second.classes == first.classes == Vocabulary.load("set_133").classes
    # Thing flags are no part of what was built: the same file serves the published threshold.
    assert (
        int(resolve({**config, "num_things": 79}, clip_config, checkpoint, tmp_path / "cache").thing_mask.sum()) == 79
    )


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
def test_other_options_are_built_anew(
    change: dict[str, Any], checkpoint: Path, clip_config: dict[str, Any], tmp_path: Path
) -> None:
    config = {"vocabulary": "ade20k_150_d2", "templates": "photo"}
    first = resolve(config, clip_config, checkpoint, tmp_path / "cache")
    second = resolve({**config, **change}, clip_config, checkpoint, tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.safetensors"))) == 2
    assert first.embeddings.shape != second.embeddings.shape or not torch.equal(first.embeddings, second.embeddings)


def test_other_weights_at_the_same_path_are_built_anew(
    checkpoint: Path, tiny_clip: CLIP, clip_config: dict[str, Any], tmp_path: Path
) -> None:
    config = {"vocabulary": VOCABULARY, "templates": "plain"}
    first = resolve(config, clip_config, checkpoint, tmp_path / "cache")
    stat = checkpoint.stat()
    torch.nn.init.normal_(tiny_clip.text_projection)
    write_checkpoint(tiny_clip, checkpoint)
    os.utime(checkpoint, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert checkpoint.stat().st_size == stat.st_size
    second = resolve(config, clip_config, checkpoint, tmp_path / "cache")
    assert first.fingerprint != second.fingerprint == text_tower_fingerprint(tiny_clip)
    assert not torch.equal(first.embeddings, second.embeddings)


def test_other_architecture_with_the_same_weights_is_built_anew(
    checkpoint: Path, clip_config: dict[str, Any], tmp_path: Path
) -> None:
    config = {"vocabulary": VOCABULARY, "templates": "plain"}
    first = resolve(config, clip_config, checkpoint, tmp_path)
    second = resolve(config, {**clip_config, "quick_gelu": True}, checkpoint, tmp_path)
    assert first.fingerprint == second.fingerprint
    assert not torch.equal(first.embeddings, second.embeddings)


def test_a_damaged_cache_file_is_built_anew(checkpoint: Path, clip_config: dict[str, Any], tmp_path: Path) -> None:
    config = {"vocabulary": VOCABULARY, "templates": "plain"}
    first = resolve(config, clip_config, checkpoint, tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:50])
    assert torch.equal(resolve(config, clip_config, checkpoint, tmp_path / "cache").embeddings, first.embeddings)
    assert ClassEmbeddings.load(path).name == "pets"


def test_embeddings_of_random_weights_are_not_kept(clip_config: dict[str, Any], tmp_path: Path) -> None:
    built = resolve({"vocabulary": VOCABULARY}, clip_config, Path("random"), tmp_path)
    assert built.embed_dim == 24
    assert not list(tmp_path.iterdir())


def test_a_config_from_mmengine_is_taken(checkpoint: Path, clip_config: dict[str, Any], tmp_path: Path) -> None:
    config = Config({"e": {"vocabulary": "set_133", "templates": "plain", "num_things": 79}, "model": clip_config})
    built = resolve(config.e, config.model, checkpoint, tmp_path)
    assert int(built.thing_mask.sum()) == 79
    built.check_encoder(24, clip_config)


def test_the_config_may_name_its_own_model(checkpoint: Path, clip_config: dict[str, Any], tmp_path: Path) -> None:
    config = {"vocabulary": VOCABULARY, "model_name": clip_config, "checkpoint": str(checkpoint)}
    built = resolve_class_embeddings(config, model_name="EVA02-L-14-336", checkpoint="gone.pt", cache_dir=tmp_path)
    built.check_encoder(24, clip_config)


def test_files_are_loaded_and_checked(tiny_clip: CLIP, clip_config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "pets.safetensors"
    built = build_class_embeddings(VOCABULARY, clip_config, clip_model=tiny_clip, templates="plain")
    built.save(path)
    assert torch.equal(resolve_class_embeddings(str(path)).embeddings, built.embeddings)
    assert resolve_class_embeddings({"file": path, "num_things": 2}).thing_mask.tolist() == [True, True]
    assert resolve_class_embeddings(built) is built
    described = {"file": path, "vocabulary": VOCABULARY, "templates": "plain", "num_things": 0}
    assert not resolve_class_embeddings(described, model_name=clip_config).thing_mask.any()
    with pytest.raises(ValueError, match=r"other templates \('plain'\).*'vild'"):
        resolve_class_embeddings({**described, "templates": "vild"})
    with pytest.raises(ValueError, match="other classes"):
        resolve_class_embeddings({**described, "vocabulary": "set_316"})
    with pytest.raises(ValueError, match="the image encoder is 'EVA02-B-16'"):
        resolve_class_embeddings(path, model_name="EVA02-B-16")


def test_a_missing_file_comes_with_the_command_that_makes_it() -> None:
    config = {
        "file": "data/e.safetensors",
        "vocabulary": "set_316",
        "normalization": "prompt",
        "num_things": 203,
        "extra_classes": ["background"],
    }
    with pytest.raises(FileNotFoundError) as error:
        resolve_class_embeddings(config, model_name="EVA02-B-16", checkpoint="eva.pt")
    assert (
        "python tools/build_class_embeddings.py set_316 --model EVA02-B-16 --checkpoint eva.pt --normalization prompt "
        "--num-things 203 --extra-class 'background' --out data/e.safetensors" in str(error.value)
    )


def test_incomplete_configs_are_refused() -> None:
    with pytest.raises(ValueError, match="vocabluary"):
        resolve_class_embeddings({"vocabluary": "set_316"})
    with pytest.raises(ValueError, match="'file' or 'vocabulary'"):
        resolve_class_embeddings({"templates": "vild"})
    with pytest.raises(ValueError, match="needs a model_name"):
        resolve_class_embeddings({"vocabulary": "set_316"})
