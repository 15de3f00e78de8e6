"""Words of many images, counted once an image."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from densevlm_mm.vocabulary.category_sets.word_forms import merge_plurals, normalize_word
from densevlm_mm.vocabulary.names import check_name, normal_form
from densevlm_mm.vocabulary.text_files import decode_text, read_json


class WordCounts(NamedTuple):
    """How many images every word describes.

    Attributes:
        num_images: Word to number of images.
        merged: Form that was found, to the word it was counted as.
        unusable: Entries of which nothing was left, to the number of images.
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
    with open(path, "rb") as file:
        for number, content in enumerate(file, start=1):
            line = decode_text(content, f"{path}, line {number},")
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
    content = read_json(path, "word file")
    if not isinstance(content, dict) or not all(isinstance(value, str) and value.strip() for value in content.values()):
        raise ValueError(f'{path} must be a JSON object of words, such as {{"word": "..."}}')
    return content


def count_words(path: str | Path, synonyms: Mapping[str, str] | None = None) -> WordCounts:
    """Count in how many images every word occurs, however often it is said of one.

    Forms are joined: spelling (:func:`normalize_word`; of forms that are one name to a vocabulary, such as ``t-shirt``
    and ``t shirt``, the most frequent one stays), then plurals (:func:`merge_plurals`), then ``synonyms``. An
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
            if not _is_name(form):
                unusable[word].add(image)
                continue
            images_of[form].add(image)
            if form != word:
                spellings[word] = form
    if not images_of:
        raise ValueError(f"{path} holds no word")
    usual = _usual_spellings(images_of)
    merged = {form: usual[normal_form(form)] for form in images_of}
    for form in [form for form, kept in merged.items() if form != kept]:
        images_of[merged[form]] |= images_of.pop(form)
    plurals = merge_plurals(images_of)
    counted_as = {normal_form(word): target for word, target in (synonyms or {}).items()}

    def target(form: str) -> str:
        singular = plurals.get(form, form)
        # The user's word goes before our rules.
        word = counted_as.get(normal_form(form), counted_as.get(normal_form(singular), singular))
        return usual.get(normal_form(word), word)

    joined: dict[str, set[str]] = defaultdict(set)
    for form, images in images_of.items():
        joined[target(form)] |= images
    ordered = Counter({word: len(images) for word, images in sorted(joined.items())}).most_common()
    targets = {form: target(kept) for form, kept in merged.items()}
    targets |= {word: targets[form] for word, form in spellings.items()}
    moved = {form: word for form, word in sorted(targets.items()) if form != word}
    return WordCounts(dict(ordered), moved, {word: len(images) for word, images in unusable.items()})


def _is_name(form: str) -> bool:
    try:
        check_name(form, "word")
    except ValueError:
        return False
    return True


def _usual_spellings(images_of: Mapping[str, set[str]]) -> dict[str, str]:
    """The most frequent spelling of every name, by its normal form; the first by letter of equally frequent ones."""
    ordered = sorted(sorted(images_of), key=lambda form: -len(images_of[form]))
    return {normal_form(form): form for form in reversed(ordered)}
