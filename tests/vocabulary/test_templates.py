import pytest
from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES, SIMPLE_IMAGENET_TEMPLATES

from densevlm_mm.vocabulary.templates import TEMPLATE_SETS, clean_name, get_template_set, prompts_for


def test_vild_has_63_different_prompts() -> None:
    prompts = prompts_for("cat", "vild")
    assert len(prompts) == 63
    assert len(set(prompts)) == 63


def test_vild_article_follows_the_name() -> None:
    assert prompts_for("cat", "vild")[0] == "There is a cat in the scene."
    assert prompts_for("Airplane", "vild")[0] == "There is an airplane in the scene."
    # Templates with a fixed "a" keep it, as published.
    assert "This is a photo of a nice airplane." in prompts_for("airplane", "vild")
    assert prompts_for("airplane", "vild")[-1] == "This is a painting of a airplane."


def test_this_is_stands_before_a_an_and_the_only() -> None:
    prompts = prompts_for("cat", "vild")
    assert "This is a good photo of the cat." in prompts
    assert "This is an embroidered cat." in prompts
    assert "This is the toy cat." in prompts
    assert "itap of my cat." in prompts
    assert sum(prompt.startswith("This is ") for prompt in prompts) == 63 - 2 - 3  # "There is" and "itap"


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("traffic_light", "traffic light"),
        ("cabinet/shelf", "cabinet or shelf"),
        ("Window ", "window"),
        ("dog.", "dog"),
        ("wall-brick", "wall-brick"),
    ],
)
def test_name_clean_up(raw: str, cleaned: str) -> None:
    assert clean_name(raw) == cleaned


def test_a_name_must_remain() -> None:
    with pytest.raises(ValueError, match="empty after clean-up"):
        clean_name(" . ")


def test_sets_of_other_packages_are_theirs() -> None:
    from mmseg.utils import get_predefined_templates

    assert prompts_for("cat", "vild14") == [t.format("cat") for t in get_predefined_templates("vild")]
    assert len(get_template_set("vild14").templates) == 14
    assert prompts_for("cat", "openai80") == [t("cat") for t in OPENAI_IMAGENET_TEMPLATES]
    assert len(get_template_set("openai80").templates) == 80
    assert prompts_for("cat", "simple7") == [t("cat") for t in SIMPLE_IMAGENET_TEMPLATES]


def test_small_sets() -> None:
    assert prompts_for("cat", "photo") == ["a photo of a cat."]
    assert prompts_for("cat", "cat_seg") == ["A photo of a cat in the scene"]
    assert prompts_for("cat", "plain") == ["cat"]
    assert prompts_for("umbrella", "tiny_scenes") == ["umbrella", "a photo of an umbrella"]


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_every_set_holds_the_name_once_a_template(name: str) -> None:
    assert all(prompt.count("zebra") == 1 and "{" not in prompt for prompt in prompts_for("zebra", name))


def test_own_templates() -> None:
    own = get_template_set(["{article} {}!"])
    assert own.prompts("apple") == ["an apple!"]
    assert own.name.startswith("custom-")
    assert own.name != get_template_set(["{}!"]).name


@pytest.mark.parametrize("own", [[], ["no name"], ["{} {}"], ["{name}"], ["{} {x}"]])
def test_unusable_templates_are_refused(own: list[str]) -> None:
    with pytest.raises(ValueError, match="template"):
        get_template_set(own)


def test_unknown_set_lists_the_known() -> None:
    with pytest.raises(ValueError, match="vild14") as error:
        prompts_for("cat", "vild15")
    assert "vild15" in str(error.value)
