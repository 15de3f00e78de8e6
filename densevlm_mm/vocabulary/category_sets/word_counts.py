"""Words of many images, counted once an image."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from densevlm_mm.vocabulary.category_sets.word_forms import merge_plurals, normalize_word


class WordCounts(NamedTuple):
    """How many images every word describes.

    Attributes:
        num_images: word to number of images.
        merged: form that was found, to the word it was counted as.
        unusable: entries of which nothing was left, to the number of images.
    """

    num_images: dict[str, int]
    merged: dict[str, str]
    unusable: dict[str, int]


def read_image_words(path: str | Path) -> Iterator[tuple[str, list[str]]]:
    """Read a JSON-lines file ``{"image": ..., "words": [...]}``.

    Args:
        path: The file. Empty lines are allowed.

    Yields:
        Image and its words, line by line.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is something else; names the line.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}: give JSON lines {{"image": ..., "words": [...]}}')
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number} is not JSON: {error}") from error
            words: Any = entry.get("words") if isinstance(entry, dict) else None
            is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
            if not is_list or not isinstance(entry.get("image"), str | int):
                raise ValueError(
                    f'{path}, line {number}: expected {{"image": "...", "words": ["dog", ...]}}, got {line[:60]}'
                )
            yield str(entry["image"]), words


def load_synonyms(path: str | Path) -> dict[str, str]:
    """Read a JSON object that says which word another one is counted as: ``{"automobile": "car"}``.

    Chains are followed to their end.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else, a word is empty, or words lead back to themselves.
    """
    mapping = {normalize_word(word): normalize_word(target) for word, target in load_word_map(path).items()}
    if "" in mapping or "" in mapping.values():
        raise ValueError(f"{path}: nothing is left of a word without its article and punctuation")
    resolved = {}
    for word in mapping:
        seen, target = [word], mapping[word]
        while target in mapping and target != mapping[target]:
            if target in seen:
                raise ValueError(f"{path}: {' -> '.join([*seen, target])} leads back to itself")
            seen.append(target)
            target = mapping[target]
        resolved[word] = target
    return resolved


def load_word_map(path: str | Path) -> dict[str, str]:
    """Read a JSON object of strings.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is something else.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no file {path}: give a JSON object of words, such as {{"word": "..."}}')
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) and value.strip() for value in content.values()):
        raise ValueError(f'{path} must be a JSON object of words, such as {{"word": "..."}}')
    return content


def count_words(path: str | Path, synonyms: Mapping[str, str] | None = None) -> WordCounts:
    """Count in how many images every word occurs, however often it is said of one.

    Forms are joined: spelling (:func:`normalize_word`), then plurals (:func:`merge_plurals`), then ``synonyms``. An
    image on several lines counts once.

    Args:
        path: See :func:`read_image_words`.
        synonyms: Word to the word it is counted as, both normalised.

    Returns:
        The counts, most frequent first.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If a line is malformed, or the file has no word.
    """
    images_of: dict[str, set[str]] = defaultdict(set)
    unusable: dict[str, set[str]] = defaultdict(set)
    spellings: dict[str, str] = {}
    for image, words in read_image_words(path):
        for word in words:
            form = normalize_word(word)
            (images_of[form] if form else unusable[word]).add(image)
            if form and form != word:
                spellings[word] = form
    if not images_of:
        raise ValueError(f"{path} holds no word")
    plurals, synonyms = merge_plurals(images_of), dict(synonyms or {})

    def target(form: str) -> str:
        if form in synonyms:  # the user's word goes before our rules
            return synonyms[form]
        singular = plurals.get(form, form)
        return synonyms.get(singular, singular)

    joined: dict[str, set[str]] = defaultdict(set)
    for form, images in images_of.items():
        joined[target(form)] |= images
    ordered = Counter({word: len(images) for word, images in sorted(joined.items())}).most_common()
    merged = {form: target(form) for form in images_of if target(form) != form}
    merged |= {word: target(form) for word, form in spellings.items()}
    return WordCounts(dict(ordered), dict(sorted(merged.items())), {word: len(imgs) for word, imgs in unusable.items()})
