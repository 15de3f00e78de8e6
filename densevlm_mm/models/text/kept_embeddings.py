"""Class embeddings that were computed before: the cache, which saves time and decides nothing."""

import hashlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from mmengine.logging import print_log

from densevlm_mm.models.text.cache_folder import say_unwritable
from densevlm_mm.models.text.class_embeddings import FILE_FORMAT, ClassEmbeddings

# What this process computed last, for a folder that cannot be written. A few: a program may try many vocabularies.
_RECENT: dict[str, ClassEmbeddings] = {}
_NUM_RECENT = 8


class KeptEmbeddings:
    """Class embeddings in a folder, one file each, found by what decides them.

    Args:
        folder: The folder. It may be moved, copied or emptied at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def key(tower: str, prompts: Sequence[Sequence[str]], normalization: str) -> str:
        """SHA-256 of what decides the numbers: the text tower's key, every prompt, the normalization.

        What names the classes have, what the vocabulary is called, and from which file the tower came, is not in it.
        """
        content = {"format": FILE_FORMAT, "tower": tower, "prompts": prompts, "normalization": normalization}
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self.folder / f"{key[:40]}.safetensors"

    def load(self, key: str, num_classes: int) -> ClassEmbeddings | None:
        """The embeddings of a key; None if they have to be made, because they are not there or are damaged."""
        path = self.path(key)
        try:
            found = ClassEmbeddings.load(path, remedy="it is made anew")
            if len(found) != num_classes:
                raise ValueError(f"{str(path)!r} holds {len(found)} classes, not {num_classes}; it is made anew")
            return found
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            print_log(str(error), logger="current", level=logging.WARNING)
        recent = _RECENT.get(key)
        if recent is not None:
            self.save(key, recent)
        return recent

    def save(self, key: str, embeddings: ClassEmbeddings) -> None:
        """Keep embeddings, if the folder can be written."""
        _RECENT[key] = embeddings
        for oldest in list(_RECENT)[:-_NUM_RECENT]:
            del _RECENT[oldest]
        try:
            embeddings.save(self.path(key))
        except OSError as error:
            say_unwritable(self.folder, str(error))
