import json

import pytest

from densevlm_mm.vocabulary.category_sets import MappedKinds, split_kinds


def mapped(tmp_path, name: str, **kinds: str) -> MappedKinds:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(kinds))
    return MappedKinds(path)


def test_the_first_that_knows_a_word_decides(tmp_path) -> None:
    first, second = mapped(tmp_path, "a", Dog="thing"), mapped(tmp_path, "b", dog="stuff", sky="stuff")
    found = split_kinds(["dog", "sky", "idea"], [first, second])
    assert found == {"dog": ("thing", first.source), "sky": ("stuff", second.source)}


def test_an_unknown_kind_is_named(tmp_path) -> None:
    with pytest.raises(ValueError, match="kind of 'dog' is 'animal'"):
        mapped(tmp_path, "a", dog="animal")
