"""Prompt templates: named sets, name clean-up, and the prompts of one name."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from densevlm_mm.vocabulary.names import prompt_form
from densevlm_mm.vocabulary.source_literals import read_source_literal

# The 63 prompts published with ViLD (Gu et al., "Open-vocabulary Object Detection via Vision and Language Knowledge
# Distillation", ICLR 2022; github.com/tensorflow/tpu, models/official/detection/projects/vild; Apache-2.0).
# '{article}' stands for a/an according to the name; the fixed "a"s are ViLD's.
VILD_TEMPLATES = (
    "There is {article} {} in the scene.",
    "There is the {} in the scene.",
    "a photo of {article} {} in the scene.",
    "a photo of the {} in the scene.",
    "a photo of one {} in the scene.",
    "itap of {article} {}.",  # itap: "I took a picture"
    "itap of my {}.",
    "itap of the {}.",
    "a photo of {article} {}.",
    "a photo of my {}.",
    "a photo of the {}.",
    "a photo of one {}.",
    "a photo of many {}.",
    "a good photo of {article} {}.",
    "a good photo of the {}.",
    "a bad photo of {article} {}.",
    "a bad photo of the {}.",
    "a photo of a nice {}.",
    "a photo of the nice {}.",
    "a photo of a cool {}.",
    "a photo of the cool {}.",
    "a photo of a weird {}.",
    "a photo of the weird {}.",
    "a photo of a small {}.",
    "a photo of the small {}.",
    "a photo of a large {}.",
    "a photo of the large {}.",
    "a photo of a clean {}.",
    "a photo of the clean {}.",
    "a photo of a dirty {}.",
    "a photo of the dirty {}.",
    "a bright photo of {article} {}.",
    "a bright photo of the {}.",
    "a dark photo of {article} {}.",
    "a dark photo of the {}.",
    "a photo of a hard to see {}.",
    "a photo of the hard to see {}.",
    "a low resolution photo of {article} {}.",
    "a low resolution photo of the {}.",
    "a cropped photo of {article} {}.",
    "a cropped photo of the {}.",
    "a close-up photo of {article} {}.",
    "a close-up photo of the {}.",
    "a jpeg corrupted photo of {article} {}.",
    "a jpeg corrupted photo of the {}.",
    "a blurry photo of {article} {}.",
    "a blurry photo of the {}.",
    "a pixelated photo of {article} {}.",
    "a pixelated photo of the {}.",
    "a black and white photo of the {}.",
    "a black and white photo of {article} {}.",
    "a plastic {}.",
    "the plastic {}.",
    "a toy {}.",
    "the toy {}.",
    "a plushie {}.",
    "the plushie {}.",
    "a cartoon {}.",
    "the cartoon {}.",
    "an embroidered {}.",
    "the embroidered {}.",
    "a painting of the {}.",
    "a painting of a {}.",
)


@dataclass(frozen=True)
class TemplateSet:
    """Templates with one ``{}`` each for the name, and optionally ``{article}`` for a/an.

    Args:
        name: Recorded with the embeddings.
        templates: The templates.
        this_is: Put "This is " before a prompt that begins with "a" or "the" (ViLD; the test is on the first letters).
    """

    name: str
    templates: tuple[str, ...]
    this_is: bool = False

    def prompts(self, name: str) -> list[str]:
        """The prompts of one name, in template order."""
        name = clean_name(name)
        article = "an" if name[0] in "aeiou" else "a"
        prompts = [template.format(name, article=article) for template in self.templates]
        if self.this_is:
            prompts = [f"This is {prompt}" if prompt.startswith(("a", "the")) else prompt for prompt in prompts]
        return prompts


def clean_name(name: str) -> str:
    """The name as it stands in prompts, see :func:`~densevlm_mm.vocabulary.names.prompt_form`.

    Raises:
        ValueError: If nothing is left.
    """
    cleaned = prompt_form(name)
    if not cleaned:
        raise ValueError(f"class name {name!r} is empty after clean-up; rename the class")
    return cleaned


def _vild() -> TemplateSet:
    return TemplateSet("vild", VILD_TEMPLATES, this_is=True)


def _vild14() -> TemplateSet:
    templates = read_source_literal("mmseg", "utils/get_templates.py", "PREDEFINED_TEMPLATES", "vild")
    return TemplateSet("vild14", tuple(templates))


def _openai80() -> TemplateSet:
    from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES  # takes seconds to import

    return TemplateSet("openai80", tuple(template("{}") for template in OPENAI_IMAGENET_TEMPLATES))


def _simple7() -> TemplateSet:
    from open_clip.zero_shot_metadata import SIMPLE_IMAGENET_TEMPLATES  # takes seconds to import

    return TemplateSet("simple7", tuple(template("{}") for template in SIMPLE_IMAGENET_TEMPLATES))


_BUILDERS: dict[str, Callable[[], TemplateSet]] = {
    "vild": _vild,
    "vild14": _vild14,
    "openai80": _openai80,
    "simple7": _simple7,
    "photo": lambda: TemplateSet("photo", ("a photo of a {}.",)),
    "cat_seg": lambda: TemplateSet("cat_seg", ("A photo of a {} in the scene",)),
    "plain": lambda: TemplateSet("plain", ("{}",)),
    "tiny_scenes": lambda: TemplateSet("tiny_scenes", ("{}", "a photo of {article} {}")),
}
TEMPLATE_SETS = tuple(_BUILDERS)


@cache
def _named_template_set(name: str) -> TemplateSet:
    return _BUILDERS[name]()


def get_template_set(templates: str | Sequence[str]) -> TemplateSet:
    """A named set, or one's own list of templates (named ``custom-<hash>``).

    Raises:
        ValueError: If the name is unknown, the list is empty, or a template does not hold ``{}`` exactly once.
    """
    if isinstance(templates, str):
        if templates not in _BUILDERS:
            raise ValueError(
                f"unknown template set {templates!r}; choose from {TEMPLATE_SETS} or give a list with '{{}}'"
            )
        return _named_template_set(templates)
    own = tuple(templates)
    if not own:
        raise ValueError(f"an empty list of templates was given; choose from {TEMPLATE_SETS} or give at least one")
    for template in own:
        if template.replace("{article}", "").count("{}") != 1 or template.replace("{article}", "").count("{") != 1:
            raise ValueError(
                f"template {template!r} must hold '{{}}' exactly once and nothing in braces but '{{article}}'"
            )
    return TemplateSet(f"custom-{hashlib.sha256(repr(own).encode()).hexdigest()[:8]}", own)


def prompts_for(name: str, template_set: str | Sequence[str]) -> list[str]:
    """The prompts of one (not yet cleaned) name.

    Example:
        >>> prompts_for("traffic_light", "photo")
        ['a photo of a traffic light.']
    """
    return get_template_set(template_set).prompts(name)
