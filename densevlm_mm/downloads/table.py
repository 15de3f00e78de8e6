"""What is known of files that configs name: ``assets/downloads.json``."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class Download:
    """A file or folder that configs name.

    Args:
        name: The end of its path, which tells it from all others.
        what: What it is.
        source: Where it comes from, for people.
        licence: Its terms, in a word.
        path: Where configs look for it; default: ``weights/<name>``.
        hub: Repository on huggingface.co that has a file of this name.
        url: Address of the file, or of the archive that it is in.
        member: Its path in the archive, of a folder with a slash at the end; the members before the last are archives
            in the archive.
        size: Bytes of the file or archive.
        sha256: Digest of the file or archive.
        then: What is to be done with it before a config can use it.
    """

    name: str
    what: str
    source: str
    licence: str = ""
    path: str = ""
    hub: str = ""
    url: str = ""
    member: tuple[str, ...] = ()
    size: int | None = None
    sha256: str | None = None
    then: str = ""

    @property
    def default_path(self) -> Path:
        """Where configs look for it."""
        return Path(self.path or f"weights/{self.name}")

    @property
    def is_fetchable(self) -> bool:
        """Whether it can be fetched without a person, who would have to agree to terms or to make it."""
        return bool(self.hub or self.url)

    @property
    def address(self) -> str:
        """What a browser or ``wget`` fetches; '' if there is no such address."""
        return f"https://huggingface.co/{self.hub}/resolve/main/{self.name}" if self.hub else self.url


@cache
def known_downloads() -> dict[str, Download]:
    """All entries of the table, by name."""
    table = json.loads(files("densevlm_mm.assets").joinpath("downloads.json").read_text(encoding="utf-8"))
    return {
        name: Download(name, **{**facts, "member": tuple(facts.get("member", ()))}) for name, facts in table.items()
    }


def find_download(path: str | Path) -> Download | None:
    """What is known of a path, by its longest end: label maps lie in folders called as those of images.

    Args:
        path: Path as a config has it.
    """
    parts = PurePosixPath(Path(path).as_posix()).parts
    ends = ("/".join(parts[start:]) for start in range(len(parts)))
    return next((known_downloads()[end] for end in ends if end in known_downloads()), None)
