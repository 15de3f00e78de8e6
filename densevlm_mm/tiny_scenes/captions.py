"""Captions: nearly every thing is mentioned, stuff hardly ever. This is what makes foreground bias."""

import numpy as np

from densevlm_mm.tiny_scenes.classes import CLASS_NAMES, STUFF_NAMES, THING_NAMES

_PREFIXES = ("", "", "a photo of ", "an image of ")
_PLURAL = ("skis",)
_THING_LABELS = frozenset(range(len(THING_NAMES)))


def mentioned_classes(
    labels: tuple[int, ...], rng: np.random.Generator, p_thing: float = 0.95, p_stuff: float = 0.17
) -> list[int]:
    """Which of an image's classes its caption mentions.

    Args:
        labels: Semantic labels (0..31) of the image's segments; repetitions do not matter.
        rng: Source of randomness.
        p_thing: Probability that a thing class is mentioned; if none is drawn, one is mentioned nevertheless.
        p_stuff: Probability that one stuff class is mentioned beside the things. An image without a thing mentions
            one to all of its stuff classes.

    Returns:
        Distinct labels, things first, in random order. Empty only if ``labels`` is.
    """
    things = [label for label in sorted(set(labels)) if label in _THING_LABELS]
    stuff = [label for label in sorted(set(labels)) if label not in _THING_LABELS]
    rng.shuffle(things)
    rng.shuffle(stuff)
    if not things:
        return stuff[: int(rng.integers(1, len(stuff) + 1))] if stuff else []
    named = [label for label in things if rng.random() < p_thing] or things[:1]
    if stuff and rng.random() < p_stuff:
        named.append(stuff[0])
    return named


def _noun_phrase(name: str) -> str:
    if name in STUFF_NAMES or name in _PLURAL:
        return name
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def compose_caption(labels: list[int], rng: np.random.Generator) -> str:
    """A caption that mentions ``labels`` in order, such as ``a photo of a boat, a kite and sea``.

    Raises:
        ValueError: If ``labels`` is empty.
    """
    if not labels:
        raise ValueError("a caption needs at least one class to mention")
    phrases = [_noun_phrase(CLASS_NAMES[label]) for label in labels]
    text = phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + " and " + phrases[-1]
    return _PREFIXES[rng.integers(len(_PREFIXES))] + text


def caption_words() -> list[str]:
    """Every word a caption or a class prompt can hold, sorted (the tokenizer is trained on these)."""
    words = {"a", "an", "photo", "image", "of", "and", ","}
    return sorted(words | set(CLASS_NAMES))
