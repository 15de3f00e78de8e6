"""A metafile lists the configs of its folder, in OpenMMLab's format, and says whose its results are."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = sorted(path.name for path in (ROOT / "configs").iterdir() if path.is_dir() and path.name != "_base_")


@cache
def metafile(folder: str) -> dict:
    return yaml.safe_load((ROOT / "configs" / folder / "metafile.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_config_of_the_folder_is_listed_once(folder: str) -> None:
    configs = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs" / folder).glob("*.py"))
    assert sorted(model["Config"] for model in metafile(folder)["Models"]) == configs


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_a_metafile_names_exists(folder: str) -> None:
    collections = metafile(folder)["Collections"]
    for collection in collections:
        assert (ROOT / collection["README"]).is_file()
        assert (ROOT / collection["Code"]["URL"]).exists()
    known = {collection["Name"] for collection in collections}
    assert {model["In Collection"] for model in metafile(folder)["Models"] if "In Collection" in model} == known


def test_names_are_unique() -> None:
    names = Counter(model["Name"] for folder in FOLDERS for model in metafile(folder)["Models"])
    assert names.most_common(1)[0][1] == 1


@pytest.mark.parametrize("folder", FOLDERS)
def test_results_say_whose_they_are_and_stand_in_the_readme(folder: str) -> None:
    readme = (ROOT / "configs" / folder / "README.md").read_text(encoding="utf-8")
    for model in metafile(folder)["Models"]:
        for result in model.get("Results", ()):
            assert result["Task"]
            assert result["Dataset"]
            assert "arXiv" in result["Source"]
            assert "not measured by this project" in result["Source"]
            for value in result["Metrics"].values():
                assert isinstance(value, float)
                assert f" {value} " in readme
