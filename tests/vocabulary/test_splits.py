import hashlib
import re
from pathlib import Path

import mmdet
import pytest
from mmdet.datasets import CocoDataset, LVISV1Dataset

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.splits import check_split, load_split, novel_mask, split_metainfo, untrained_classes


def digest(names: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def test_ov_coco_has_48_base_and_17_novel_classes_in_the_order_of_category_ids() -> None:
    split = load_split("ov_coco_65")
    assert [len(split[key]) for key in ("classes", "base_classes", "novel_classes")] == [65, 48, 17]
    assert set(split["base_classes"]) | set(split["novel_classes"]) == set(split["classes"])
    in_id_order = CocoDataset.METAINFO["classes"]  # as mmdet writes the 80
    assert split["classes"] == tuple(name for name in in_id_order if name in split["classes"])
    novel = "airplane bus cat dog cow elephant umbrella tie snowboard skateboard cup knife cake couch keyboard sink"
    assert split["novel_classes"] == (*novel.split(), "scissors")


def test_ov_coco_is_the_split_of_mmdets_own_config() -> None:
    path = "mm_grounding_dino/coco/grounding_dino_swin-t_finetune_16xb4_1x_coco_48_17.py"
    text = (Path(mmdet.__file__).parent / ".mim/configs" / path).read_text()
    split = load_split("ov_coco_65")
    for key, variable in (("base_classes", "base_classes"), ("novel_classes", "novel_classes")):
        block = re.search(rf"^{variable} = \((.*?)\)", text, re.S | re.M)
        assert block is not None
        assert split[key] == tuple(re.findall(r"'([^']+)'", block[1]))


def test_ov_lvis_has_866_base_and_337_novel_classes_in_the_order_of_mmdet() -> None:
    split = load_split("ov_lvis_1203")
    assert [len(split[key]) for key in ("classes", "base_classes", "novel_classes")] == [1203, 866, 337]
    assert split["classes"] == tuple(LVISV1Dataset.METAINFO["classes"])
    assert digest(split["novel_classes"]) == "3335cac077e8efd8"  # of the rare names of lvis_v1_train.json


def test_a_vocabulary_without_split_is_refused() -> None:
    with pytest.raises(ValueError, match="'set_316' has no base/novel split"):
        load_split("set_316")
    with pytest.raises(ValueError, match="file: novel classes \\['kiwi'\\]"):
        split_metainfo(("apple", "pear"), ["pear", "kiwi"], "file")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(novel_classes=()), "look at \\['pear'\\]"),
        (dict(classes=("apple", "pear", "kiwi")), "look at \\['kiwi'\\]"),
        (dict(base_classes=("apple", "pear")), "look at \\['pear'\\]"),
    ],
)
def test_every_class_is_base_or_novel(changes: dict, message: str) -> None:
    split = split_metainfo(("apple", "pear"), ["pear"], "file")
    check_split(split, "it")
    with pytest.raises(ValueError, match=message):
        check_split({**split, **changes}, "it")


def test_metainfo_without_split_is_refused() -> None:
    with pytest.raises(ValueError, match="it has no 'base_classes'"):
        check_split(dict(classes=("apple",)), "it")


def test_spelling_does_not_matter_to_a_split() -> None:
    metainfo = dict(classes=("alarm_clock", "Boat"), base_classes=("boat",), novel_classes=("alarm clock",))
    check_split(metainfo, "it")
    assert novel_mask(("alarm_clock", "Boat"), ["Alarm Clock"], "it") == [True, False]
    assert split_metainfo(("alarm_clock", "Boat"), ["BOAT"], "it")["novel_classes"] == ("Boat",)
    with pytest.raises(ValueError, match=r"it, classes: 'boat' and 'Boat' are one name"):
        check_split(dict(metainfo, classes=("boat", "Boat")), "it")
    with pytest.raises(ValueError, match=r"it, base_classes: 'boat' and 'Boat' are one name"):
        check_split(dict(metainfo, base_classes=("boat", "Boat")), "it")
    with pytest.raises(
        ValueError, match=r"novel classes \['boats'\] are not among the 2 classes; close to 'boats': 'Boat'"
    ):
        novel_mask(("alarm_clock", "Boat"), ["boats"], "it")


def test_an_own_split_is_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text('{"classes": ["Fishing_Boat", "car"], "novel": ["fishing boat"]}')
    assert load_split(str(path)) == dict(
        classes=("Fishing_Boat", "car"), base_classes=("car",), novel_classes=("Fishing_Boat",)
    )
    path.write_text('{"classes": ["Fishing_Boat", "car"]}')
    with pytest.raises(ValueError, match=r"own\.json' has no base/novel split"):
        load_split(str(path))


def untrained(names: list, trained: str) -> tuple[str, ...]:
    return untrained_classes(Vocabulary.load(names), Vocabulary.load(trained), load_split(trained)["novel_classes"])


@pytest.mark.parametrize(
    ("spellings", "trained"),
    [
        (["Boat", "CAR", "Kite.", " TV ", "ＭＯＵＳＥ"], "ov_coco_65"),
        (
            ["alarm clock", "Traffic Light", "bow (decorative ribbons)", "Bow-Tie", "crab", "flip flop [sandal]"],
            "ov_lvis_1203",
        ),
        (["ship, boat", "automobile, car"], "ov_coco_65"),
    ],
)
def test_trained_classes_are_base_in_every_spelling(spellings: list[str], trained: str) -> None:
    assert untrained(spellings, trained) == ()


def test_held_out_and_unknown_classes_are_novel_in_every_spelling() -> None:
    names = ["Bow (weapon)", "Applesauce", "unicorn", "wall-brick", "people", "boats", "bat (wood, baseball)"]
    assert untrained(names, "ov_lvis_1203") == tuple(names)
    assert untrained(["Scissors", "person"], "ov_coco_65") == ("Scissors",)


def test_a_name_that_may_be_base_or_novel_is_refused() -> None:
    message = r"'bow' may be 'bow_\(weapon\)' \(held out .*'bow_\(decorative_ribbons\)' \(seen in training\)"
    with pytest.raises(ValueError, match=message):
        untrained(["bow"], "ov_lvis_1203")


def test_half_of_lvis_has_other_spellings_and_none_changes_sides() -> None:
    split = load_split("ov_lvis_1203")
    spelled = [name.replace("_", " ").title() for name in split["classes"]]
    novel = untrained(spelled, "ov_lvis_1203")
    assert novel == tuple(name.replace("_", " ").title() for name in split["novel_classes"])
