import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from densevlm_mm.vocabulary.vocabulary import Vocabulary, packaged_vocabularies


def write(path: Path, data: Any) -> Path:
    path.write_text(json.dumps(data))
    return path


def test_json_keeps_display_names_and_splits_synonyms_at_commas(tmp_path: Path) -> None:
    classes = [
        {"name": "building, edifice ", "isthing": 0},
        {"name": "dog", "isthing": 1, "synonyms": ["dog", " hound", "dog"]},
    ]
    vocabulary = Vocabulary.load(write(tmp_path / "own.json", {"name": "mine", "classes": classes}))
    assert vocabulary.name == "mine"
    assert vocabulary.classes == ("building, edifice ", "dog")
    assert vocabulary.synonyms == (("building", "edifice"), ("dog", "hound"))
    assert vocabulary.thing_mask.tolist() == [False, True]
    assert vocabulary.num_things == 1


def test_synonym_rules() -> None:
    vocabulary = Vocabulary("v", ("building, edifice ",), (("building", "edifice"),))
    assert vocabulary.prompt_names() == (("building", "edifice"),)
    assert vocabulary.prompt_names("first") == (("building",),)
    assert vocabulary.prompt_names("joined") == (("building, edifice",),)
    with pytest.raises(ValueError, match="some"):
        vocabulary.prompt_names("some")


def test_text_file_has_no_thing_flags(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("cat\n\n  dog  \n")
    vocabulary = Vocabulary.load(path)
    assert vocabulary.classes == ("cat", "dog")
    assert vocabulary.is_thing is None
    with pytest.raises(ValueError, match="no thing flags"):
        _ = vocabulary.thing_mask


def test_thing_flags_cannot_be_changed_in_place() -> None:
    vocabulary = Vocabulary.load("set_316")
    with pytest.raises(ValueError, match="read-only"):
        vocabulary.thing_mask[0] = False


def test_num_things_reproduces_the_published_threshold() -> None:
    published = Vocabulary.load("set_316").with_num_things(203)
    assert published.num_things == 203
    assert published.thing_mask[:203].all()
    assert Vocabulary.load("set_316").num_things == 204


def test_num_things_needs_things_first() -> None:
    with pytest.raises(ValueError, match="things come first"):
        Vocabulary.load("ade20k_150").with_num_things(100)
    with pytest.raises(ValueError, match="317"):
        Vocabulary.load("set_316").with_num_things(317)
    assert Vocabulary("v", ("a", "b"), (("a",), ("b",))).with_num_things(1).thing_mask.tolist() == [True, False]


def test_extra_classes_are_stuff() -> None:
    extended = Vocabulary.load("set_316").with_extra_classes(["background"])
    assert len(extended) == 317
    assert extended.classes[-1] == "background"
    assert not extended.thing_mask[-1]
    with pytest.raises(ValueError, match="occurs twice"):
        extended.with_extra_classes(["background"])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "no classes"),
        ([{"name": "a", "isthing": 1}, {"name": "A ", "isthing": 1}], r"twice \(things\), as class 0 and 1"),
        ([{"name": "a", "isthing": 0}, {"name": "a", "isthing": 0}], r"twice \(stuff\)"),
        (["a", "a"], "twice, as"),
        ([{"name": "a", "isthing": 1}, {"name": "b"}], "'b' has no isthing"),
        ([{"name": "a", "isthing": 2}], "is 2, not 0 or 1"),
        ([{"name": " "}], "empty name"),
        ([{"name": "a,"}], "empty name or synonym"),
        ([{"isthing": 1}], "class 0 has no name"),
        ([3], "class 0 has no name"),
    ],
)
def test_wrong_classes_are_named(tmp_path: Path, classes: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.load(write(tmp_path / "bad.json", {"classes": classes}))


@pytest.mark.parametrize("names", [["boat", "delivery van, van"], ("boat", "delivery van, van")])
def test_a_list_of_names_is_a_vocabulary(names: Any) -> None:
    vocabulary = Vocabulary.load(names)
    assert vocabulary.classes == ("boat", "delivery van, van")
    assert vocabulary.synonyms == (("boat",), ("delivery van", "van"))
    assert vocabulary.is_thing is None
    assert vocabulary.name == "boat, delivery van, van"
    assert Vocabulary.load(vocabulary) is vocabulary


def test_a_list_may_hold_entries_as_a_json_file_does() -> None:
    vocabulary = Vocabulary.load([{"name": "boat", "isthing": 1}, {"name": "sky", "isthing": 0, "synonyms": ["air"]}])
    assert vocabulary.thing_mask.tolist() == [True, False]
    assert vocabulary.synonyms == (("boat",), ("air",))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "holds no classes"),
        (["boat", 3], r"'boat, 3': class 1 has no name: 3; a name is text in quotes"),
        (["boat", ["car"]], r"class 1 has no name: \['car'\]"),
        (["boat", "car", "cow", "sky", "Car"], r"'boat, car, cow, ...': 'Car' occurs twice, as class 1 and 4"),
        (["boat", ""], "empty name"),
        ({"name": "boat"}, "not {'name': 'boat'}"),
        (7, "a list of names, not 7"),
        (None, "a list of names, not None"),
    ],
)
def test_wrong_lists_are_named(source: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.load(source)


def test_the_same_name_may_be_thing_and_stuff(tmp_path: Path) -> None:
    classes = [{"name": "fruit", "isthing": 1}, {"name": "fruit", "isthing": 0}]
    assert len(Vocabulary.load(write(tmp_path / "both.json", {"classes": classes}))) == 2


def test_wrong_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.json"):
        Vocabulary.load(tmp_path / "nothing.json")
    with pytest.raises(ValueError, match="set_316") as error:
        Vocabulary.load("set_317")
    assert "set_317" in str(error.value)
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    with pytest.raises(ValueError, match="not JSON"):
        Vocabulary.load(broken)
    with pytest.raises(ValueError, match="expected"):
        Vocabulary.load(write(tmp_path / "number.json", 1))


def test_a_changed_upstream_list_is_noticed(tmp_path: Path) -> None:
    source = {"package": "mmseg", "file": "datasets/pascal_context.py", "variable": "PascalContextDataset59.METAINFO"}
    derive = {**source, "key": "classes", "num_classes": 59, "names_sha256": "0" * 64}
    with pytest.raises(ValueError, match="installed mmseg is not the class list"):
        Vocabulary.load(write(tmp_path / "v.json", {"derive": derive}))


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="1 synonym entries for 2 classes"):
        Vocabulary("v", ("a", "b"), (("a",),))
    with pytest.raises(ValueError, match="is_thing has shape"):
        Vocabulary("v", ("a",), (("a",),), np.array([True, False]))


@pytest.mark.parametrize("name", packaged_vocabularies())
def test_every_packaged_vocabulary_loads_under_its_own_name(name: str) -> None:
    assert Vocabulary.load(name).name == name


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["boat", "fire hydrant", "fire_hydrant"], "'fire hydrant' and 'fire_hydrant' have one prompt, 'fire hydrant'"),
        (["T-shirt", "t shirt"], "'T-shirt' and 't shirt' are one name, 't shirt'"),
        (["boat, ship", "ship, boat"], "'boat, ship' and 'ship, boat' are one name, 'boat, ship'"),
        (["cup/mug", "cup or mug"], "have one prompt, 'cup or mug'"),
        (["caf\u00e9", "cafe\u0301"], "have one prompt"),
        (["boat", "bo\u200bat"], "name of class 1, .* invisible character"),
        (["coco_80", "unicorn"], "'coco_80' is a packaged vocabulary, not a class"),
    ],
)
def test_two_classes_that_would_share_a_score_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Vocabulary.load(names)


def test_names_that_are_near_to_each_other_are_classes_of_their_own() -> None:
    names = [
        "wall",
        "wall-brick",
        "bow",
        "bow (weapon)",
        "bow (decorative ribbons)",
        "person",
        "people",
        "boat",
        "boats",
    ]
    assert Vocabulary.load(names).classes == tuple(names)


def test_first_synonyms_must_differ_but_in_published_vocabularies() -> None:
    with pytest.raises(ValueError, match="'ship, boat' and 'ship' are one name, 'ship'"):
        Vocabulary.load(["ship, boat", "ship"]).prompt_names("first")
    assert Vocabulary.load(["ship, boat", "ship"]).prompt_names("all") == (("ship", "boat"), ("ship",))
    assert len(Vocabulary.load("ade20k_847").prompt_names("first")) == 847


def test_a_bad_file_is_named_with_its_class(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_text("boat\nBoat\n")
    with pytest.raises(ValueError, match=r"vocabulary file .*names\.txt: vocabulary 'names': 'Boat' occurs twice"):
        Vocabulary.load(path)
    path.write_bytes("boat\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"names\.txt is UTF-16"):
        Vocabulary.load(path)
