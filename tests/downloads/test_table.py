import json
import re
from importlib.resources import files

import pytest

from densevlm_mm.downloads import find_download, known_downloads

DOWNLOADS = known_downloads().values()


@pytest.mark.parametrize("entry", DOWNLOADS, ids=lambda entry: entry.name)
def test_entries_are_consistent(entry) -> None:
    assert entry.what
    assert entry.source
    assert not (entry.hub and entry.url)
    assert entry.sha256 is None or re.fullmatch("[0-9a-f]{64}", entry.sha256)
    if entry.is_fetchable:
        assert entry.licence
        assert find_download(entry.default_path) is entry  # the path that it goes to is known by its name
    if entry.url and not entry.member:
        assert entry.url.endswith(f"/{entry.name}")


def test_no_entry_hides_another() -> None:
    names = []

    def remember(pairs: list) -> dict:
        names.append([name for name, _ in pairs])
        return dict(pairs)

    json.loads(files("densevlm_mm.assets").joinpath("downloads.json").read_text(), object_pairs_hook=remember)
    assert len(names[-1]) == len(set(names[-1])) == len(DOWNLOADS)


def test_entries_of_one_archive_say_the_same_of_it() -> None:
    for url in {entry.url for entry in DOWNLOADS if entry.url}:
        assert len({(entry.size, entry.sha256, entry.licence) for entry in DOWNLOADS if entry.url == url}) == 1


def test_the_authors_weights_are_named() -> None:
    student = known_downloads()["densevlm_coco_6_save6_512_eva_vib16_12layers.pt"]
    assert student.address == (
        "https://huggingface.co/lyhisme/DenseVLM/resolve/main/densevlm_coco_6_save6_512_eva_vib16_12layers.pt"
    )
    teacher = known_downloads()["clipself_coco_6_save6_512_eva_vitl14_24layers.pt"]
    assert {student.licence, teacher.licence} == {"non-commercial"}


def test_the_longest_end_of_a_path_counts() -> None:
    assert find_download("/my/coco/stuffthingmaps/train2017").name == "stuffthingmaps/train2017"
    assert find_download("/my/coco/train2017").name == "train2017"
    assert find_download("/my/own.json") is None
