import pytest

from densevlm_mm.models.segmentors.prompted_classes import PromptedClasses


def test_first_synonym_in_the_template_of_cat_seg() -> None:
    classes = PromptedClasses.from_vocabulary("ade20k_150", "cat_seg", "first")
    assert len(classes.names) == len(classes.prompts) == 150
    assert classes.prompts[0] == ("A photo of a wall in the scene",)
    assert all(prompts[0].startswith("A photo of a ") and "," not in prompts[0] for prompts in classes.prompts)


def test_file_of_the_users_own(tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("red apple\ngreen pear\n")
    classes = PromptedClasses.from_vocabulary(tmp_path / "mine.txt", ["my {}"], "all")
    assert classes == PromptedClasses(("red apple", "green pear"), (("my red apple",), ("my green pear",)))


def test_list_of_names() -> None:
    classes = PromptedClasses.from_vocabulary(["cat", "sofa, couch"], ["{}"], "first")
    assert classes == PromptedClasses(("cat", "sofa, couch"), (("cat",), ("sofa",)))


def test_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt"):
        PromptedClasses.from_vocabulary(str(tmp_path / "nothing.txt"), "cat_seg", "first")
