import numpy as np
import pytest

from densevlm_mm.tiny_scenes.captions import caption_words, compose_caption, mentioned_classes
from densevlm_mm.tiny_scenes.classes import CLASS_NAMES

BOAT, KITE, SKY, SEA = (CLASS_NAMES.index(name) for name in ("boat", "kite", "sky", "sea"))


def test_shares_of_mentioned_classes_are_the_given_probabilities():
    rng = np.random.default_rng(0)
    drawn = [mentioned_classes((BOAT, KITE, SKY, SEA, KITE), rng, p_thing=0.9, p_stuff=0.2) for _ in range(4000)]
    boats = np.mean([BOAT in labels for labels in drawn])
    stuff = np.array([sum(label in (SKY, SEA) for label in labels) for labels in drawn])
    assert boats == pytest.approx(0.9 + 0.1 * 0.1 / 2, abs=0.02)  # one is mentioned even when neither was drawn
    assert stuff.max() == 1
    assert stuff.mean() == pytest.approx(0.2, abs=0.02)
    assert all(len(labels) == len(set(labels)) >= 1 for labels in drawn)


def test_image_without_a_thing_is_described_by_its_stuff():
    rng = np.random.default_rng(0)
    drawn = [mentioned_classes((SKY, SEA), rng, p_stuff=0.0) for _ in range(50)]
    assert {tuple(sorted(labels)) for labels in drawn} == {(SKY,), (SEA,), (SKY, SEA)}
    assert mentioned_classes((), rng) == []


def test_captions_read_like_english():
    texts = {compose_caption([BOAT, CLASS_NAMES.index("umbrella"), SKY], np.random.default_rng(i)) for i in range(30)}
    assert texts == {f"{prefix}a boat, an umbrella and sky" for prefix in ("", "a photo of ", "an image of ")}
    assert compose_caption([CLASS_NAMES.index("skis")], np.random.default_rng(0)).endswith("skis")


def test_word_list_covers_every_caption():
    rng = np.random.default_rng(0)
    words = set(caption_words())
    for _ in range(200):
        text = compose_caption(list(rng.choice(32, 4, replace=False)), rng)
        assert set(text.replace(",", " ,").split()) <= words


def test_caption_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one class"):
        compose_caption([], np.random.default_rng(0))
