import gzip
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from densevlm_mm.models.clip.tokenizer import build_tokenizer, model_config, model_id, resolve_bpe_path


def test_tokenizer_of_a_known_model_is_open_clips() -> None:
    expected = open_clip.get_tokenizer("EVA02-B-16")(["a photo of a cat."])
    assert torch.equal(build_tokenizer("EVA02-B-16")(["a photo of a cat."]), expected)


def test_openais_spelling_means_the_same_as_open_clips() -> None:
    """open_clip itself would take the default tokenizer for a name that it does not know."""
    assert model_id("ViT-B/16") == "ViT-B-16"
    assert model_config("ViT-B/16") == open_clip.get_model_config("ViT-B-16")
    assert torch.equal(build_tokenizer("ViT-B/16")(["a cat"]), open_clip.get_tokenizer("ViT-B-16")(["a cat"]))
    assert build_tokenizer("TinyScenes-S").vocab_size == build_tokenizer({"model_name": "TinyScenes-S"}).vocab_size


def test_config_dict_gives_context_length(clip_config: dict[str, Any]) -> None:
    clip_config["text_cfg"]["context_length"] = 9
    tokens = build_tokenizer(clip_config)(["a cat"])
    assert tokens.shape == (1, 9)
    assert torch.equal(tokens, open_clip.SimpleTokenizer()(["a cat"], context_length=9))


def test_config_dict_with_a_byte_pair_file_of_its_own(clip_config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "own_bpe.txt.gz"
    path.write_bytes(gzip.compress(b"#version\nc a\nca t</w>\n"))
    clip_config["text_cfg"]["tokenizer_kwargs"] = {"bpe_path": str(path)}
    tokenizer = build_tokenizer(clip_config)
    assert tokenizer.vocab_size == 512 + 3 + 2  # bytes, merges (the empty last line is one), special tokens
    assert tokenizer.encode("cat") == [513]


def test_tiny_scenes_models_have_a_tokenizer_of_their_own() -> None:
    tokenizer = build_tokenizer("TinyScenes-S")
    tokens = tokenizer(["a photo of a cow"])
    assert int(tokens.max()) < model_config("TinyScenes-S")["text_cfg"]["vocab_size"]
    assert tokens.shape == (1, model_config("TinyScenes-S")["text_cfg"]["context_length"])


def test_a_missing_byte_pair_file_is_named(clip_config: dict[str, Any]) -> None:
    clip_config["text_cfg"]["tokenizer_kwargs"] = {"bpe_path": "no_such_bpe.txt.gz"}
    with pytest.raises(FileNotFoundError, match=r"no_such_bpe.*assets"):
        resolve_bpe_path(clip_config)


def test_unknown_model_is_named() -> None:
    with pytest.raises(ValueError, match="EVA99"):
        model_config("EVA99")


def test_model_id(clip_config: dict[str, Any]) -> None:
    assert model_id("EVA02-B-16") == "EVA02-B-16"
    same = {key: clip_config[key] for key in reversed(clip_config)}
    assert model_id(clip_config) == model_id(same) == model_id({"model_cfg": same, "preprocess_cfg": {}})
    assert model_id(clip_config) != model_id({**clip_config, "embed_dim": 8})
