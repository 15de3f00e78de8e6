import json

import pytest

from densevlm_mm.vocabulary.category_sets import count_words, load_synonyms


@pytest.fixture
def words(tmp_path):
    lines = [
        dict(image="1.jpg", words=["Dog", "dogs", "a dog", "sky"]),
        dict(image="2.jpg", words=["puppy", "dogs", "!!"]),
        dict(image="1.jpg", words=["dog", "automobile"]),
        dict(image="3.jpg", words=["cars", "car", "sky"]),
    ]
    path = tmp_path / "words.jsonl"
    path.write_text("\n\n".join(json.dumps(line) for line in lines))
    return path


def test_a_word_counts_once_an_image(words) -> None:
    counts = count_words(words)
    assert counts.num_images == {"dog": 2, "sky": 2, "automobile": 1, "car": 1, "puppy": 1}
    assert list(counts.num_images) == ["dog", "sky", "automobile", "car", "puppy"]  # frequent first, then by name
    assert counts.merged == {"Dog": "dog", "a dog": "dog", "cars": "car", "dogs": "dog"}
    assert counts.unusable == {"!!": 1}


def test_synonyms_are_joined_after_plurals_and_follow_chains(words, tmp_path) -> None:
    path = tmp_path / "synonyms.json"
    path.write_text(json.dumps({"Automobile": "motorcar", "motorcar": "vehicle", "car": "vehicle", "puppy": "dog"}))
    counts = count_words(words, load_synonyms(path))
    assert counts.num_images == {"dog": 2, "sky": 2, "vehicle": 2}
    assert counts.merged["cars"] == counts.merged["automobile"] == "vehicle"


def test_a_word_mapped_to_itself_is_kept_from_the_plural_rule(words, tmp_path) -> None:
    path = tmp_path / "synonyms.json"
    path.write_text(json.dumps({"cars": "cars"}))
    counts = count_words(words, load_synonyms(path))
    assert counts.num_images["cars"] == counts.num_images["car"] == 1


def test_forms_that_are_one_name_are_counted_as_the_usual_one(tmp_path) -> None:
    lines = [
        dict(image="1.jpg", words=["t-shirt", "bo\u200bat"]),
        dict(image="2.jpg", words=["T-shirt", "t shirt"]),
        dict(image="3.jpg", words=["T shirts", "cafe\u0301"]),
        dict(image="4.jpg", words=["caf\u00e9", "t-shirt"]),
    ]
    path = tmp_path / "words.jsonl"
    path.write_bytes("\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode("utf-8-sig"))
    counts = count_words(path)
    assert counts.num_images == {"t-shirt": 3, "cafe\u0301": 2, "t shirts": 1}
    assert counts.merged["t shirt"] == counts.merged["T-shirt"] == "t-shirt"
    assert counts.unusable == {"bo\u200bat": 1}
    assert count_words(path, {"t shirt": "shirt"}).num_images["shirt"] == 3


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("{", "line 2 is not JSON"),
        ('{"image": "2.jpg"}', "line 2: expected"),
        ('{"image": "2.jpg", "words": [3]}', "line 2: expected"),
        ('["dog"]', "line 2: expected"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, named) -> None:
    path = tmp_path / "words.jsonl"
    path.write_text('{"image": "1.jpg", "words": []}\n' + line)
    with pytest.raises(ValueError, match=named):
        count_words(path)


def test_other_errors_name_the_file(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.jsonl"):
        count_words(tmp_path / "none.jsonl")
    empty = tmp_path / "empty.jsonl"
    empty.write_text('{"image": "1.jpg", "words": []}')
    with pytest.raises(ValueError, match=r"empty\.jsonl holds no word"):
        count_words(empty)
    loop = tmp_path / "loop.json"
    loop.write_text('{"a": "b", "b": "a"}')
    with pytest.raises(ValueError, match="leads back to itself"):
        load_synonyms(loop)
    loop.write_text('{"automobile": "the"}')
    assert load_synonyms(loop) == dict(automobile="the")  # only an article before a word is one
    loop.write_text('{"automobile": "..."}')
    with pytest.raises(ValueError, match="nothing is left"):
        load_synonyms(loop)
    loop.write_text('{"a": 1}')
    with pytest.raises(ValueError, match="JSON object of words"):
        load_synonyms(loop)
