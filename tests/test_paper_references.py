"""What this project says of the DenseVLM paper names numbers that the paper has, and speaks of what stands there."""

import re
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
SCANNED = ("docs", "configs", "densevlm_mm", "tools")
SUFFIXES = {".md", ".py", ".yml", ".j2", ".json", ".sh"}

OWN_PAPER = "2412.06244"
NUMBER = r"\d+(?:\.\d+)?"
# "Table 3, row 4" names one table, "Tables 3, 4 and 6-8" several.
MENTION = re.compile(
    rf"\b(?P<one>table|fig\.|figure|sec\.|section|eq\.|equation)\s+(?P<number>{NUMBER}(?:[-–]{NUMBER})?)"
    rf"|\b(?P<many>tables|figs\.|figures|secs\.|sections|eqs\.|equations)\s+"
    rf"(?P<numbers>{NUMBER}(?:(?:[-–]|,\s+|\s+and\s+){NUMBER})*)",
    re.IGNORECASE,
)
KINDS = {"tab": "Table", "fig": "Fig.", "sec": "Sec.", "equ": "Eq.", "eqs": "Eq.", "eq.": "Eq."}


class Mention(NamedTuple):
    """A number of the paper on a line of ours."""

    reference: str
    line: str
    around: str  # the line and those beside it in its paragraph


@cache
def references() -> dict[str, dict]:
    return yaml.safe_load((ROOT / "docs/paper_references.yml").read_text())


def numbers(text: str) -> Iterator[str]:
    for part in re.split(r",\s+|\s+and\s+", text):
        first, *last = re.split("[-–]", part)
        if not last:
            yield first
        else:
            yield from map(str, range(int(first), int(last[0]) + 1))


def mentions(text: str) -> Iterator[Mention]:
    lines = text.splitlines()
    for index, line in enumerate(lines):
        for match in MENTION.finditer(line):
            foreign = re.search(r"arXiv (\d{4}\.\d{5}), $", line[: match.start()])
            if foreign and foreign[1] != OWN_PAPER:
                continue
            neighbours = lines[max(index - 1, 0) : index + 2] if "|" not in line[:1] else [line]
            kind = KINDS[(match["one"] or match["many"]).lower()[:3]]
            for number in numbers(match["number"] or match["numbers"]):
                yield Mention(f"{kind} {number}", line, "\n".join(neighbours))


def faults(text: str) -> list[str]:
    """What is wrong with the mentions of a text."""
    found = []
    for reference, line, around in mentions(text):
        entry = references().get(reference)
        if entry is None:
            found.append(f"{reference} is not in docs/paper_references.yml: {line.strip()}")
            continue
        if not any(re.search(word, around, re.IGNORECASE) for word in entry["words"]):
            found.append(f"{reference} is about {entry['what']}: {line.strip()}")
        found += [
            f"{reference} is not about {word!r}: {line.strip()}"
            for word in entry.get("never", ())
            if re.search(word, line, re.IGNORECASE)
        ]
    return found


def scanned_files() -> list[Path]:
    below = chain.from_iterable((ROOT / folder).rglob("*") for folder in SCANNED)
    return sorted(path for path in (*ROOT.glob("*.md"), *below) if path.suffix in SUFFIXES)


def test_every_reference_to_the_paper_is_a_known_one() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in scanned_files()
        if path.name != "paper_references.yml"
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_the_table_is_used() -> None:
    """A reference that nothing speaks of any more can go."""
    mentioned = {m.reference for path in scanned_files() for m in mentions(path.read_text(encoding="utf-8"))}
    assert set(references()) <= mentioned


@pytest.mark.parametrize(
    "line",
    [
        "| Sec. 3.3, decoupled alignment | `DecoupledAlignmentLoss` |",
        '"""The loss of DenseVLM, decoupled alignment (arXiv 2412.06244, Sec. 3.2, Eq. 2-6)."""',
        "| Figure 4, accuracy class by class |",
        "`foreground_bias.py` | Section 1 | which things stuff is taken for",
        "weight_ensemble=dict(type='WeightEnsembleHook', alpha=0.9))  # Sec. 4.1",
        "# EVA02-CLIP ViT-L/14-336 as student (Table 6)",
        "# The teacher as EVA-CLIP published it, unrefined (Table 5).",
        "# Canvas of 448 pixels (Table 10).",
        'Ordering("Foreground bias: row 4 < row 1", "Table 3", "foreground_bias")',
        "| Tables 4, 15, category sets |",
        "Region proposals (Table 9).",
    ],
)
def test_a_wrong_reference_is_found(line: str) -> None:
    assert faults(line)


def test_lists_and_ranges_are_read() -> None:
    text = "Tables 1, 3-5 and 10 of sets, Fig. 7-10; Table 3, row 4; 12 of 512 px, sec. 3.2, 512 px; Eq. 1-2"
    assert [mention.reference for mention in mentions(text)] == [
        *("Table 1", "Table 3", "Table 4", "Table 5", "Table 10"),
        *("Fig. 7", "Fig. 8", "Fig. 9", "Fig. 10", "Table 3", "Sec. 3.2", "Eq. 1", "Eq. 2"),
    ]  # fmt: skip


def test_other_papers_are_told_by_their_number() -> None:
    assert not list(mentions("the loss of CLIPSelf (arXiv 2310.01403, Eq. 1)"))
    assert [mention.reference for mention in mentions("(arXiv 2412.06244, Eq. 1)")] == ["Eq. 1"]
    assert [mention.reference for mention in mentions("CLIPSelf (arXiv 2310.01403) in Table 2")] == ["Table 2"]


def test_a_paragraph_may_break_between_number_and_topic() -> None:
    assert not faults("the student is contrasted with things alone, see\nTable 3.")
    assert faults("the student is trained, see\nTable 3.")
