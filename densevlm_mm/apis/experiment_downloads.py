"""Fetching what an experiment needs."""

import difflib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from densevlm_mm.apis.preflight import input_facts, missing_inputs
from densevlm_mm.downloads import Download, UnreachableError, fetch, find_download, known_downloads
from densevlm_mm.models.clip import CheckpointName, locate_checkpoint
from densevlm_mm.models.clip.model_source import tag_config


@dataclass
class Outcome:
    """What became of a request.

    Args:
        fetched: What is there now.
        left: Path or name to lines that say what it is and how to get it.
        steps: Commands that turn what was fetched into what configs use.
    """

    fetched: list[str] = field(default_factory=list)
    left: dict[str, list[str]] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    def report(self) -> str:
        """For people, also those who have to fetch the rest on another machine."""
        lines = [f"fetched {each}" for each in self.fetched]
        lines += [f"then run: {step}" for step in dict.fromkeys(self.steps)]
        if self.left:
            lines += ["", f"{len(self.left)} not fetched. Get them elsewhere and put them there:", ""]
            for name, facts in self.left.items():
                lines += [f"  {name}", *(f"      {fact}" for fact in facts)]
        return "\n".join(lines)


def fetch_names(paths: dict[str, Download], archives: str | Path) -> Outcome:
    """Fetch entries of the table of downloads.

    One that fails does not keep the others from being fetched.

    Args:
        paths: Where each belongs. What exists is left as it is.
        archives: Folder that archives are kept in.
    """
    outcome = Outcome()
    for path, download in paths.items():
        if Path(path).exists():
            outcome.fetched.append(f"{path} (was there)")
            continue
        if not download.is_fetchable:
            outcome.left[path] = [download.what, f"get it: {download.source}"]
            continue
        print(f"{download.address} -> {path}", file=sys.stderr)
        try:
            fetch(download, path, archives)
        except (OSError, ValueError) as error:
            outcome.left[path] = _elsewhere(download, error)
            continue
        outcome.fetched.append(path)
        outcome.steps += [download.then] if download.then else []
    return outcome


def _elsewhere(download: Download, error: Exception) -> list[str]:
    reason = "cannot be reached from here" if isinstance(error, UnreachableError) else str(error)
    lines = [download.what, f"fetch: {download.address}   ({reason})"]
    if download.member:
        lines.append(f"take out of it: {' / '.join(download.member)}")
    if download.size or download.sha256:
        known = [f"{download.size:,} bytes"] if download.size else []
        known += [f"SHA-256 {download.sha256}"] if download.sha256 else []
        lines.append(f"check: {', '.join(known)}")
    return lines + ([f"then run: {download.then}"] if download.then else [])


def fetch_experiment(cfg: Config, archives: str | Path) -> Outcome:
    """Fetch what an experiment needs, for training and for testing, into the paths that its config names.

    Weights that it names by open_clip's tag, hub id or URL go into the caches of open_clip and the hub.

    Args:
        cfg: The experiment.
        archives: Folder that archives are kept in.
    """
    missing = {**missing_inputs(cfg, "train"), **missing_inputs(cfg, "test")}
    known = {path: found for path in missing if (found := find_download(path)) is not None}
    outcome = fetch_names(known, archives)
    for path, key in missing.items():
        if path not in known:
            facts = input_facts(cfg, path, key)
            source = facts.get("source", "it is your own: nothing is known of a file of this name")
            outcome.left[path] = [facts.get("what", f"named by {key}"), f"get it: {source}"]
    default = (cfg.model.get("encoder") or {}).get("model_name")
    for model_name, checkpoint in dict.fromkeys(_named_weights(cfg.to_dict(), default)):
        try:
            file = locate_checkpoint(model_name, checkpoint)
        except (OSError, ValueError) as error:
            outcome.left[checkpoint] = [_tag_address(model_name, checkpoint), f"({error})"]
        else:
            outcome.fetched.append(f"{checkpoint}: {file}")
    return outcome


def _named_weights(node: Any, model_name: Any) -> Iterator[tuple[Any, str]]:
    """Model and name of weights that are downloads."""
    if isinstance(node, list | tuple):
        for item in node:
            yield from _named_weights(item, model_name)
    elif isinstance(node, dict):
        checkpoint = node.get("checkpoint")
        own = node.get("model_name", model_name)
        if (
            isinstance(checkpoint, str)
            and checkpoint
            and CheckpointName.parse(checkpoint).kind in ("tag", "hub", "url")
        ):
            yield (own if isinstance(own, str) else None), checkpoint
        for value in node.values():
            yield from _named_weights(value, model_name)


def _tag_address(model_name: str | None, checkpoint: str) -> str:
    name = CheckpointName.parse(checkpoint)
    if name.kind != "tag" or model_name is None:
        return f"weights {checkpoint}"
    release = tag_config(model_name, name.value)
    where = release.get("url") or f"https://huggingface.co/{str(release.get('hf_hub')).strip('/')}"
    return f"weights of {model_name}: {where}"


def named_downloads(names: Sequence[str]) -> dict[str, Download]:
    """Entries of the table by name, at the paths where configs look for them.

    Args:
        names: Names as ``tools/download.py --list`` shows them.

    Raises:
        KeyError: If there is no such entry; names similar ones.
    """
    known = known_downloads()
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            raise KeyError(f"nothing is known of {name!r}; {', '.join(close) or 'see --list'}")
    return {str(known[name].default_path): known[name] for name in names}
