import open_clip
import pytest
from torch import nn

from densevlm_mm.models.text import build_class_embeddings, class_prompts
from densevlm_mm.models.text.prompt_collisions import check_tokens_differ
from densevlm_mm.vocabulary import Vocabulary

LONG = "very " * 80


def test_long_names_that_are_cut_to_one_are_refused(tokenizer: open_clip.SimpleTokenizer) -> None:
    vocabulary = Vocabulary.load(["boat", f"{LONG}small car", f"{LONG}large car"])
    with pytest.raises(
        ValueError, match=r"'a photo of a very very .* are the same to the text tower.*shorten or rename"
    ):
        check_tokens_differ(class_prompts(vocabulary, "photo"), tokenizer)
    check_tokens_differ(class_prompts(Vocabulary.load(["boat", f"{LONG}car", f"small {LONG}car"]), "photo"), tokenizer)


def test_a_tokenizer_that_drops_punctuation_makes_one_of_two() -> None:
    canonical = open_clip.SimpleTokenizer(clean="canonicalize")
    vocabulary = Vocabulary.load(["bow (weapon)", "bow weapon", "t-shirt"])
    with pytest.raises(ValueError, match=r"bow \(weapon\).* and .*bow weapon"):
        check_tokens_differ(class_prompts(vocabulary, "photo"), canonical)


def test_equal_prompts_are_the_vocabularys_affair(tokenizer: open_clip.SimpleTokenizer) -> None:
    check_tokens_differ([["a fruit."], ["a fruit."]], tokenizer)  # thing and stuff of set_316
    check_tokens_differ(class_prompts(Vocabulary.load("ade20k_847"), "cat_seg", "first"), tokenizer)


def test_classes_that_share_a_first_synonym_are_two(tokenizer: open_clip.SimpleTokenizer) -> None:
    check_tokens_differ(class_prompts(Vocabulary.load(["ship, boat", "ship"]), "photo"), tokenizer)


def test_embeddings_are_not_built_of_classes_that_are_one(tiny_clip: nn.Module, clip_config: dict) -> None:
    vocabulary = Vocabulary.load([f"{LONG}small car", f"{LONG}large car"])
    with pytest.raises(ValueError, match="shorten or rename"):
        build_class_embeddings(vocabulary, clip_config, templates="photo", clip_model=tiny_clip)
