"""What a teacher cache depends on, and the folder of each."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densevlm_mm.files import write_text

_FACTS = "key.json"


def cache_folder(path: str | Path, facts: Mapping[str, Any]) -> tuple[Path, str]:
    """Find the folder of the records that depend on some facts, or make it.

    Args:
        path: Folder of all caches.
        facts: Everything that the content of a record depends on beside the image, for JSON.

    Returns:
        The folder, whose name is a hash of the facts and which holds them in ``key.json``; and a sentence for the log,
        which says of a new one what differs from the nearest of those that are there.
    """
    text = json.dumps(facts, sort_keys=True, indent=1, default=repr)
    folder = Path(path) / hashlib.sha256(text.encode()).hexdigest()[:16]
    if (folder / _FACTS).is_file():
        return folder, f"teacher cache {folder}"
    sentence = f"teacher cache {folder} is new{_because(Path(path), json.loads(text))}"
    try:
        write_text(folder / _FACTS, text + "\n")
    except OSError as error:
        return folder, f"{sentence}, and cannot be made: {error}"
    return folder, sentence


def differing_facts(facts: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Where two sets of facts differ: ``name (first, not second)``, with the names of nested facts joined by points."""
    ours, theirs = flat_facts(facts), flat_facts(others)
    return [
        f"{name} ({_short(ours.get(name))}, not {_short(theirs.get(name))})"
        for name in dict.fromkeys([*ours, *theirs])
        if ours.get(name) != theirs.get(name)
    ]


def flat_facts(node: Any, name: str = "") -> dict[str, Any]:
    """Facts without nesting: names joined by points to values."""
    if not isinstance(node, Mapping) or not node:
        return {name: node}
    return {
        path: value
        for key, child in node.items()
        for path, value in flat_facts(child, f"{name}.{key}" if name else str(key)).items()
    }


def _because(path: Path, facts: Mapping[str, Any]) -> str:
    known = {file.parent: _read(file) for file in sorted(path.glob(f"*/{_FACTS}"))}
    differences = {folder: differing_facts(facts, others) for folder, others in known.items() if others is not None}
    if not differences:
        return ""
    nearest = min(differences, key=lambda folder: len(differences[folder]))
    return f": unlike {nearest} it has {'; '.join(differences[nearest])}"


def _read(file: Path) -> dict | None:
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
