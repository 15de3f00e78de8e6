"""How weights are named in configs and on command lines: a file, a folder, a URL, a tag, a hub id, or 'random'."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal, get_args
from urllib.parse import urlsplit, urlunsplit

from densevlm_mm.project_files import project_file

TAG_PREFIX = "open_clip:"
HUB_PREFIX = "hf-hub:"
FOLDER_PREFIX = "local-dir:"
URL_PREFIXES = ("https://", "http://")
RANDOM = "random"
FORMS = "a file, a folder in hub layout, a URL, 'open_clip:<tag>', 'hf-hub:<org>/<repository>' or 'random'"

Kind = Literal["file", "folder", "url", "tag", "hub", "random"]


@dataclass(frozen=True)
class CheckpointName:
    """What a string means that names weights.

    Attributes:
        kind: 'file'; 'folder' (weights beside an ``open_clip_config.json``, the layout of hub repositories, also
            written ``local-dir:<path>``); 'url'; 'tag' (``open_clip:<tag>``, a release that open_clip lists for the
            architecture); 'hub' (``hf-hub:<org>/<repository>``); 'random' (random weights, asked for explicitly).
        value: The name without its prefix.

    Example:
        >>> CheckpointName.parse("open_clip:openai")
        CheckpointName(kind='tag', value='openai')
    """

    kind: Kind
    value: str

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or not self.value:
            raise ValueError(f"weights are named by {FORMS}, got an empty name of kind {self.kind!r}")

    @classmethod
    def parse(cls, checkpoint: str | Path) -> "CheckpointName":
        """Read a name.

        Raises:
            ValueError: If nothing follows a prefix, or the name is empty.
        """
        text = str(checkpoint)
        prefixes: tuple[tuple[str, Kind], ...] = ((TAG_PREFIX, "tag"), (HUB_PREFIX, "hub"), (FOLDER_PREFIX, "folder"))
        for prefix, kind in prefixes:
            if text.startswith(prefix):
                return cls(kind, text.removeprefix(prefix))
        if text == RANDOM:
            return cls("random", text)
        if text.startswith(URL_PREFIXES):
            return cls("url", text)
        return cls("folder" if text and project_file(text).is_dir() else "file", text)

    @property
    def is_local(self) -> bool:
        """Whether it names something on this machine's disk, which exists or not."""
        return self.kind in ("file", "folder")

    @property
    def path(self) -> Path:
        """Where a local name lies: from the current folder or, for ``densevlm_mm/...``, in this package."""
        return project_file(self.value)

    def __str__(self) -> str:
        """The name, as :meth:`parse` reads it."""
        return {"tag": TAG_PREFIX, "hub": HUB_PREFIX}.get(self.kind, "") + self.value

    def exists(self) -> bool:
        """Whether a local name exists; names of downloads and of random weights are taken to."""
        return not self.is_local or self.path.exists()

    def portable(self) -> str:
        """The name as files keep it that travel: relative paths stay; of others, and of URLs, no folder, no secret."""
        if self.kind == "url":
            parts = urlsplit(self.value)
            return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
        if not self.is_local:
            return str(self)
        flavour = PureWindowsPath if PureWindowsPath(self.value).drive else PurePosixPath
        path = flavour(self.value)
        return path.name if path.is_absolute() or self.value.startswith("~") else self.value
