import json

from densevlm_mm.engine.teacher_cache.cache_key import cache_folder, differing_facts

FACTS = dict(version=1, teacher=dict(weights="abc", model_name="T"), transforms={"0 Load": {}, "1 Size": {"size": 64}})


def test_equal_facts_have_one_folder_that_says_them(tmp_path) -> None:
    folder, sentence = cache_folder(tmp_path, FACTS)
    assert sentence == f"teacher cache {folder} is new"
    assert json.loads((folder / "key.json").read_text()) == FACTS
    reordered = dict(reversed(FACTS.items()))
    assert cache_folder(tmp_path, reordered) == (folder, f"teacher cache {folder}")


def test_other_facts_have_another_folder_and_the_log_says_which_differ(tmp_path) -> None:
    far, _ = cache_folder(tmp_path, dict(FACTS, version=0, teacher=dict(weights="x")))
    near, _ = cache_folder(tmp_path, FACTS)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged/key.json").write_text("{")
    changed = dict(FACTS, transforms={"0 Load": {}, "1 Size": {"size": 96}})
    folder, sentence = cache_folder(tmp_path, changed)
    assert folder not in (far, near)
    assert sentence == f"teacher cache {folder} is new: unlike {near} it has transforms.1 Size.size (96, not 64)"


def test_differences_name_what_is_on_one_side_alone() -> None:
    assert differing_facts(dict(a=1, b=dict(c=(1, 2))), dict(a=1, d="x" * 100)) == [
        "b.c ([1, 2], not null)",
        f'd (null, not "{"x" * 56}...)',
    ]


def test_a_folder_that_cannot_be_made_is_said(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    folder, sentence = cache_folder(tmp_path / "file", FACTS)
    assert "cannot be made" in sentence
    assert folder == cache_folder(tmp_path, FACTS)[0].parent / "file" / folder.name
