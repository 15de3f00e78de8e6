"""The packaged category lists against counts, content hashes and the lists of mmdet and mmseg."""

import hashlib

import pytest

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.templates import clean_name

# classes, things, start of the SHA-256 of "name|flag" lines: the lists as they were taken over from their sources.
FACTS = {
    "set_133": (133, 80, "f90e537d60f7aa76"),
    "set_171": (171, 80, "792c7dbd4e32e1f5"),
    "set_273": (273, 160, "4cd9da24f07bf301"),
    "set_316": (316, 204, "5594ae975a16fa65"),
    "set_899": (899, 203, "0f41dc3b908709c8"),
    "coco_panoptic_133": (133, 80, "f90e537d60f7aa76"),
    "coco_stuff_171": (171, 80, "792c7dbd4e32e1f5"),
    "ade20k_150": (150, 100, "eaecc8333ea9e0de"),
    "ade20k_150_d2": (150, 100, "28763e656cd4a6f0"),
    "ade20k_847": (847, None, "28b0e08ed9896328"),
    "pascal_context_459": (459, None, "7ceeb6cf7ae0002f"),
    "pascal_context_59": (59, None, "2a916e2ba2eaa942"),
    "coco_80": (80, 80, "a006c1ba0e80255d"),
    "objects365_v1": (365, 365, "a3902cf5824bb0eb"),
    "voc_20": (20, 20, "251cb050a187d851"),
}


@pytest.mark.parametrize("name", FACTS)
def test_names_and_flags(name: str) -> None:
    num_classes, num_things, digest = FACTS[name]
    vocabulary = Vocabulary.load(name)
    assert len(vocabulary) == num_classes
    flags: list = [None] * num_classes
    if num_things is None:
        assert vocabulary.is_thing is None
    else:
        assert vocabulary.num_things == num_things
        flags = [int(flag) for flag in vocabulary.thing_mask]
    lines = "\n".join(f"{cls}|{flag}" for cls, flag in zip(vocabulary.classes, flags, strict=True))
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == digest


def test_derived_lists_equal_mmdet_and_mmseg() -> None:
    import mmdet.datasets
    import mmseg.datasets

    def load(name: str) -> tuple[str, ...]:
        return Vocabulary.load(name).classes

    panoptic = mmdet.datasets.CocoPanopticDataset.METAINFO
    assert load("coco_panoptic_133") == load("set_133") == tuple(panoptic["classes"])
    vocabulary = Vocabulary.load("coco_panoptic_133")
    things = [cls for cls, flag in zip(vocabulary.classes, vocabulary.thing_mask, strict=True) if flag]
    assert things == list(panoptic["thing_classes"])
    assert load("coco_stuff_171") == load("set_171") == tuple(mmseg.datasets.COCOStuffDataset.METAINFO["classes"])
    assert load("ade20k_150") == tuple(mmseg.datasets.ADE20KDataset.METAINFO["classes"])
    assert load("ade20k_150") == tuple(mmdet.datasets.ADE20KSegDataset.METAINFO["classes"])
    assert load("coco_80") == tuple(mmdet.datasets.CocoDataset.METAINFO["classes"])
    assert load("objects365_v1") == tuple(mmdet.datasets.Objects365V1Dataset.METAINFO["classes"])
    assert load("voc_20") == tuple(mmdet.datasets.VOCDataset.METAINFO["classes"])
    assert load("pascal_context_59") == tuple(mmseg.datasets.PascalContextDataset59.METAINFO["classes"])


def test_thing_flags_of_ade_equal_mmdets() -> None:
    import mmdet.datasets

    metainfo = mmdet.datasets.ADE20KPanopticDataset.METAINFO  # things first, unlike the semantic labels
    vocabulary = Vocabulary.load("ade20k_150_d2")
    for is_thing, expected in ((True, metainfo["thing_classes"]), (False, metainfo["stuff_classes"])):
        rows = [row for row, flag in enumerate(vocabulary.thing_mask) if flag == is_thing]
        names = [vocabulary.classes[row].strip() for row in rows]
        assert ["airplane" if name == "plane" else name for name in names] == list(expected)


@pytest.mark.parametrize("name", ["set_133", "set_171", "set_273", "set_316", "set_899"])
def test_training_sets_have_things_first(name: str) -> None:
    mask = Vocabulary.load(name).thing_mask
    assert mask[: mask.sum()].all()


def test_known_oddities_of_the_316() -> None:
    vocabulary = Vocabulary.load("set_316")
    assert len(set(vocabulary.classes)) == 313
    twice = {cls for cls in vocabulary.classes if vocabulary.classes.count(cls) == 2}
    assert twice == {"cupboard", "fruit", "cradle"}
    assert sum("," in cls for cls in vocabulary.classes) == 101
    window = vocabulary.classes.index("window ")
    assert vocabulary.synonyms[window] == ("window",)


def test_the_273_unite_coco_stuff_and_ade() -> None:
    union = set(Vocabulary.load("coco_stuff_171").classes) | set(Vocabulary.load("ade20k_150_d2").classes)
    assert set(Vocabulary.load("set_273").classes) <= union


@pytest.mark.parametrize("name", FACTS)
def test_every_name_can_be_prompted(name: str) -> None:
    for names in Vocabulary.load(name).synonyms:
        assert all(clean_name(synonym) for synonym in names)
