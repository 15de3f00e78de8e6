import pytest

from densevlm_mm.web.words import MAX_LETTERS, MAX_WORDS, read_words


def test_words_are_split_at_commas_semicolons_and_lines() -> None:
    words = read_words(" boat, fishing boat;\nkite,,", "sky\nsea ,")
    assert words.things == ("boat", "fishing boat", "kite")
    assert words.stuff == ("sky", "sea")
    assert words.names == ["boat", "fishing boat", "kite", "sky", "sea"]
    assert words.is_thing.tolist() == [True, True, True, False, False]


@pytest.mark.parametrize(
    ("things", "stuff", "problem"),
    [
        ("", " , ;\n", "at least two words"),
        ("boat", "", "at least two words"),
        ("boat, sea", "Sea", "“Sea” is there twice"),
        (",".join(f"word{n}" for n in range(MAX_WORDS + 1)), "", f"at most {MAX_WORDS}"),
        ("a" * (MAX_LETTERS + 1), "sky", f"at most {MAX_LETTERS}"),
        ("boat\u200b", "sky", "boat"),
    ],
)
def test_what_is_wrong_with_words_is_said(things: str, stuff: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read_words(things, stuff)
