from pathlib import Path

import pytest

from densevlm_mm.models.clip import CheckpointName
from densevlm_mm.project_files import project_file, project_root

STUDENT = "densevlm_mm/tiny_scenes/assets/tiny_scenes_student.safetensors"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("path", ["configs/tiny/densevlm.py", "tools/train.py", STUDENT])
def test_files_of_the_project_are_found_from_any_folder(path) -> None:
    assert project_file(path) == project_root() / path
    assert project_file(path).is_file()


def test_a_file_of_the_current_folder_comes_first(tmp_path) -> None:
    own = tmp_path / "configs" / "tiny" / "densevlm.py"
    own.parent.mkdir(parents=True)
    own.touch()
    assert project_file("configs/tiny/densevlm.py").resolve() == own


@pytest.mark.parametrize("path", ["configs/none.py", "weights/a.pt", "setup.py", "/configs/tiny/densevlm.py", ""])
def test_other_paths_stay_as_they_are(path) -> None:
    assert project_file(path) == Path(path)


def test_weights_in_the_package_are_named_as_in_a_checkout() -> None:
    name = CheckpointName.parse(STUDENT)
    assert name.exists()
    assert name.path.is_file()
    assert name.portable() == STUDENT
