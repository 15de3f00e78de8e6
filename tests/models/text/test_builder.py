import json
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file

from densevlm_mm.models.text.builder import build_class_embeddings, class_prompts
from densevlm_mm.models.text.prompt_encoder import text_tower_fingerprint
from densevlm_mm.vocabulary import Vocabulary

VOCABULARY = Vocabulary("pets", ("cat, kitty", "dog"), (("cat", "kitty"), ("dog",)), np.array([True, False]))


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


def test_built_from_a_checkpoint(tiny_clip_file: Path, tiny_clip: CLIP, clip_config: dict[str, Any]) -> None:
    expected = build_class_embeddings(VOCABULARY, clip_config, clip_model=tiny_clip)
    built = build_class_embeddings(VOCABULARY, clip_config, tiny_clip_file)
    torch.testing.assert_close(built.embeddings, expected.embeddings, atol=1e-6, rtol=0)
    assert built.fingerprint == expected.fingerprint


def test_a_list_of_names_is_encoded(tiny_clip: CLIP, clip_config: dict[str, Any]) -> None:
    built = build_class_embeddings(["cat", "dog"], clip_config, templates="plain", clip_model=tiny_clip)
    torch.testing.assert_close(built.embeddings, unit_rows(tiny_clip, ["cat", "dog"]), atol=2e-6, rtol=0)
    assert built.name == "cat, dog"


def test_the_checkpoint_may_say_which_model_it_is(tiny_clip: CLIP, clip_config: dict[str, Any], tmp_path: Path) -> None:
    save_file(
        {name: tensor.contiguous() for name, tensor in tiny_clip.state_dict().items()},
        tmp_path / "exported.safetensors",
        {"model_name": "custom", "model_cfg": json.dumps(clip_config)},
    )
    built = build_class_embeddings(VOCABULARY, None, tmp_path / "exported.safetensors")
    expected = build_class_embeddings(VOCABULARY, clip_config, clip_model=tiny_clip)
    assert torch.equal(built.embeddings, expected.embeddings)
    built.check_encoder(24, clip_config)
