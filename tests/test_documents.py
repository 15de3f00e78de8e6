"""Files, links and vocabularies that the documents name are there."""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from densevlm_mm.vocabulary import Vocabulary
from densevlm_mm.vocabulary.vocabulary import packaged_vocabularies

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    chain(ROOT.glob("*.md"), *((ROOT / folder).rglob("*.md") for folder in ("docs", "configs", "tools", "densevlm_mm")))
)
# A path of this repository, with the shell's braces and stars; not one that a longer path or an address ends with.
PATH = re.compile(r"(?<![\w/.-])(?:configs|tools|docs|tests|densevlm_mm)/(?:[\w./*-]|\{[\w,./-]*\})+")
PLACEHOLDER = re.compile(r"/[A-Z]+\.py$")  # "any of them", as in tools/ANY.py
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def expanded(pattern: str) -> Iterator[str]:
    """Write out the braces of a pattern."""
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        yield pattern
        return
    for choice in braces[1].split(","):
        yield from expanded(pattern[: braces.start()] + choice + pattern[braces.end() :])


def missing_paths(text: str) -> list[str]:
    # A pattern may be broken off in prose: "configs/densevlm/" and "docs/install.md." are both meant.
    named = chain.from_iterable(expanded(match[0].rstrip(".")) for match in PATH.finditer(text))
    return [path for path in named if not PLACEHOLDER.search(path) and not any(ROOT.glob(path.rstrip("/")))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_and_links_lead_to_files(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    assert not missing_paths(text)
    assert not [link for link in LINK.findall(text) if not (document.parent / link).exists()]


def test_a_wrong_path_is_found() -> None:
    text = "see `configs/densevlm/pretrain_coco_row{1,9}.py`, configs/densevlm/eval_*_b16.py and docs/install.md."
    assert missing_paths(text) == ["configs/densevlm/pretrain_coco_row9.py"]
    assert not missing_paths("https://github.com/x/y/blob/main/docs/none.md, work_dirs/configs/none.py")


def test_the_table_of_vocabularies_is_complete_and_right() -> None:
    text = (ROOT / "docs/vocabularies.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+`(?: = )?)+) \| (\d+) \| (\d+|-) \|", text, re.MULTILINE)
    table = {name: (int(total), things) for names, total, things in rows for name in re.findall(r"`(\w+)`", names)}
    assert set(table) == set(packaged_vocabularies())
    for name, (total, things) in table.items():
        vocabulary = Vocabulary.load(name)
        assert len(vocabulary.classes) == total, name
        assert ("-" if vocabulary.is_thing is None else str(vocabulary.num_things)) == things, name
