import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densevlm_mm.vocabulary import Vocabulary, packaged_vocabularies
from densevlm_mm.vocabulary.names import (
    check_distinct,
    check_name,
    normal_form,
    prompt_form,
    split_synonyms,
    without_brackets,
)

ONE_NAME = [
    (
        "alarm_clock",
        "Alarm Clock",
        " alarm  clock. ",
        "ALARM_CLOCK",
        "alarm-clock",
        "alarm\u00a0clock",
        "alarm\u3000clock",
    ),
    ("bow_(weapon)", "bow (weapon)", "Bow(Weapon)", "bow [weapon]", "bow（weapon）", "bow ( weapon )"),
    ("café", unicodedata.normalize("NFD", "Café"), "ＣＡＦÉ"),
    ("straße", "STRASSE", "Straße"),
    ("driver's seat", "driver’s seat"),
    ("cup/mug", "cup or mug"),
    ("black & white", "black &amp; white"),
    ("building, edifice", "Building,edifice", "building，edifice"),
    ("❤️", "❤"),
    ("自行车", "自行车 "),
]
DIFFERENT = [
    "bow",
    "bow (weapon)",
    "bow (decorative ribbons)",
    "wall",
    "wall-brick",
    "boat",
    "boats",
    "cafe",
    "café",
    "person",
]


@pytest.mark.parametrize("spellings", ONE_NAME)
def test_spellings_of_one_name_have_one_normal_form(spellings: tuple[str, ...]) -> None:
    assert len({normal_form(name) for name in spellings}) == 1


def test_other_names_have_other_normal_forms() -> None:
    assert len(set(map(normal_form, DIFFERENT))) == len(DIFFERENT)


def test_the_prompt_keeps_what_the_comparison_drops() -> None:
    assert prompt_form("Bow_(Weapon).") == "bow (weapon)"
    assert prompt_form("T-Shirt") == "t-shirt"
    assert prompt_form(unicodedata.normalize("NFD", "Café")) == "café"
    assert prompt_form("._") == ""


@settings(deadline=None, derandomize=True)
@given(st.text(max_size=12))
def test_the_normal_form_of_a_normal_form_is_itself_and_of_a_prompt_that_of_its_name(name: str) -> None:
    assert normal_form(prompt_form(name)) == normal_form(name)
    assert normal_form(name.upper().lower()) == normal_form(name.upper())


def test_packaged_classes_stay_as_many_as_they_are() -> None:
    for name in packaged_vocabularies():
        vocabulary = Vocabulary.load(name)
        flags = [None] * len(vocabulary) if vocabulary.is_thing is None else vocabulary.is_thing.tolist()
        assert len({(normal_form(cls), flag) for cls, flag in zip(vocabulary.classes, flags, strict=True)}) == len(
            flags
        )


@pytest.mark.parametrize(
    ("form", "bare"),
    [
        ("bow (weapon)", "bow"),
        ("a (b (c)) d", "a d"),
        ("(all of it)", "(all of it)"),
        ("not) closed (here", "not) closed"),
    ],
)
def test_brackets_can_be_left_out(form: str, bare: str) -> None:
    assert without_brackets(form) == bare


@pytest.mark.parametrize(
    ("name", "synonyms"),
    [
        ("building, edifice", ("building", "edifice")),
        ("bat (wood, baseball)", ("bat (wood, baseball)",)),
        ("bat (wood, [old, long]), club", ("bat (wood, [old, long])", "club")),
        ("蝙蝠（动物，会飞），飞鼠", ("蝙蝠（动物，会飞）", "飞鼠")),
        ("自転車、バイク", ("自転車", "バイク")),
        ("smile :), grin", ("smile :)", "grin")),
        ("face :(", ("face :(",)),
        ("dog, hound, dog", ("dog", "hound")),
        ("dog,", ("dog", "")),
    ],
)
def test_commas_part_synonyms_but_not_in_brackets(name: str, synonyms: tuple[str, ...]) -> None:
    assert split_synonyms(name) == synonyms


@pytest.mark.parametrize("name", ["bat (wood, baseball", "bat （wood, baseball", "a [b (c, d)"])
def test_a_comma_behind_an_open_bracket_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"has a bracket that is not closed.*close the bracket"):
        split_synonyms(name)


@pytest.mark.parametrize(
    "name", ["boat", "price $x_{2$", "50 % \\off^2", 'it\'s "quoted"', "👨‍👩‍👧", "نرم‌افزار", "x" * 300, "-"]
)
def test_odd_names_that_can_be_seen_are_names(name: str) -> None:
    check_name(name, "class")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "is empty"),
        ("_ .", "nothing of it is left in a prompt"),
        ("\u3164", r"invisible character U\+3164"),
        ("bo\u200bat", r"invisible character U\+200B \(ZERO WIDTH SPACE\) at position 2"),
        ("\ufeffboat", r"U\+FEFF"),
        ("boat\u202e", r"U\+202E"),
        ("fishing\tboat", r"tab or control character, U\+0009 at position 7"),
        ("fishing\nboat", r"U\+000A"),
        ("boat\x00", r"U\+0000"),
        ("fishing\u2028boat", r"U\+2028"),
        ("\ud800boat", r"U\+D800"),
        ("caf\ufffd", "read in a wrong encoding"),
    ],
)
def test_names_that_cannot_be_seen_as_they_are_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"class .*{message}"):
        check_name(name, "class")


def test_names_that_differ_in_spelling_only_are_refused_together() -> None:
    check_distinct(["wall", "wall-brick", "bow (weapon)", "bow (decorative ribbons)"], "file")
    with pytest.raises(ValueError, match=r"file: 'alarm_clock' and 'Alarm clock' are one name, 'alarm clock'"):
        check_distinct(["alarm_clock", "boat", "Alarm clock"], "file")
    with pytest.raises(ValueError, match="'boat' and 'boat' are one name"):
        check_distinct(["boat", "boat"], "file")
