"""Whatever is in a vocabulary file, it is read right or refused with its name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from densevlm_mm.vocabulary import Vocabulary, normal_form
from densevlm_mm.vocabulary.splits import load_split

FEW = settings(
    max_examples=80, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["boat", "Boat", "sky, air", "a (b, c)"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 3) | NAMES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "isthing", "synonyms", "classes", "novel", "derive", "num_things"]), inner
        )
    ),
    max_leaves=12,
)


CLASSES = st.lists(NAMES | st.fixed_dictionaries({"name": NAMES, "isthing": st.sampled_from([0, 1])}), max_size=4)
FILES = VALUES | st.fixed_dictionaries(
    {}, optional={key: VALUES for key in ("name", "derive", "same_as", "num_things", "thing_flags_of")}
).flatmap(
    lambda extra: st.fixed_dictionaries(
        {
            "classes": CLASSES,
            "novel": st.lists(NAMES, max_size=2) | VALUES,
            **{key: st.just(extra[key]) for key in extra},
        }
    )
)


def attempt(load: Callable[[], Any]) -> tuple[Any, str]:
    """What it gives, and the message of its error."""
    try:
        return load(), ""
    except ValueError as error:
        return None, str(error)


@FEW
@given(
    st.binary(max_size=60) | st.lists(NAMES, max_size=6).map(lambda names: "\n".join(names).encode("utf-8", "ignore"))
)
def test_text_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(content)
    vocabulary, message = attempt(lambda: Vocabulary.load(path))
    if vocabulary is None:
        assert message.startswith(f"vocabulary file {path}")
    else:
        assert len(set(map(normal_form, vocabulary.classes))) == len(vocabulary) > 0
        assert all(name == name.strip() for name in vocabulary.classes)


@FEW
@given(FILES)
def test_json_files(tmp_path: Path, content: object) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    vocabulary, message = attempt(lambda: Vocabulary.load(path))
    if vocabulary is None:
        assert message.startswith(f"vocabulary file {path}")
        return
    assert all(vocabulary.synonyms)
    split, message = attempt(lambda: load_split(str(path)))
    if split is None:
        assert "own.json" in message
    else:
        assert sorted(split["base_classes"] + split["novel_classes"]) == sorted(vocabulary.classes)
