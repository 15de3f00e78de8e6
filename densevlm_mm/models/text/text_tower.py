"""The text tower that a config means, known by its content and loaded only when something has to be encoded."""

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from densevlm_mm.models.clip import ModelName, build_clip, resolve_model
from densevlm_mm.models.clip.checkpoint_names import FOLDER_PREFIX
from densevlm_mm.models.clip.tokenizer import resolve_bpe_path
from densevlm_mm.models.text.cache_folder import Memo
from densevlm_mm.models.text.checkpoint_digest import checkpoint_digest
from densevlm_mm.models.text.prompt_encoder import text_tower_fingerprint

_MEMO = "text_towers.json"
# Parts of an open_clip config that the text tower does not see.
_NOT_TEXT = ("vision_cfg", "init_logit_scale", "init_logit_bias", "nonscalar_logit_scale")


class TextTower:
    """A CLIP's text tower, and what tells it from others.

    Args:
        model_name: See `densevlm_mm.models.clip.resolve_model`.
        checkpoint: Likewise.
        folder: Remembers which text tower a checkpoint file holds; None: nothing is remembered.
        trust: Allow pickled checkpoints of any content, see `build_clip`.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If name and checkpoint do not say which model is meant.
    """

    def __init__(
        self,
        model_name: ModelName | None,
        checkpoint: str | Path | None,
        folder: Path | None = None,
        trust: bool = False,
    ) -> None:
        self._named = (model_name, checkpoint)
        self._source = resolve_model(model_name, checkpoint)
        self._folder, self._trust = folder, trust

    @property
    def is_random(self) -> bool:
        """Whether its weights are drawn anew each time."""
        return self._source.file is None

    @property
    def model_id(self) -> str:
        """What identifies the architecture in files."""
        return self._source.architecture.model_id

    @property
    def name(self) -> ModelName:
        """The architecture's name as it was given, or what the checkpoint says that it is."""
        return self._source.architecture.description if self._named[0] is None else self._named[0]

    @cached_property
    def model(self) -> Any:
        """The CLIP without its image tower, float32, on the CPU, in eval mode.

        Raises:
            ValueError: If weights and architecture do not fit each other, or the file was written to meanwhile.
        """
        before = self._digest
        model: Any = build_clip(*self._named, trust=self._trust)
        model.visual = nn.Identity()  # frees the larger half
        if self._read_digest() != before:
            raise ValueError(f"checkpoint {str(self._named[1])!r} changed while it was read; start again")
        return model

    def key(self) -> str:
        """SHA-256 of all that decides what a text is embedded as: weights, architecture, tokenizer.

        Other files with the same text tower have the same key. Of a file that was loaded before it is remembered.
        """
        remembered = Memo(self._folder / _MEMO).get(self._memo_key()).get("fingerprint") if self._folder else None
        return self._key_of(remembered) if isinstance(remembered, str) else self.key_of_loaded()

    def key_of_loaded(self) -> str:
        """The same, from the weights themselves, for which the model is loaded."""
        fingerprint = text_tower_fingerprint(self.model)
        if self._folder is not None and not self.is_random:
            memo = Memo(self._folder / _MEMO)
            if memo.get(self._memo_key()).get("fingerprint") != fingerprint:
                memo.set(self._memo_key(), {"fingerprint": fingerprint})
        return self._key_of(fingerprint)

    def _key_of(self, fingerprint: str) -> str:
        return _sha256({"weights": fingerprint, "config": self._text_config, "tokenizer": self._tokenizer_identity})

    def _memo_key(self) -> str:
        # The architecture too: it decides what a file's tensors are called.
        return _sha256({"file": self._digest, "config": self._text_config})

    @cached_property
    def _digest(self) -> str | None:
        return self._read_digest()

    def _read_digest(self) -> str | None:
        file = self._source.file
        if file is None or self._folder is None:
            return None
        return checkpoint_digest(file, self._folder)

    @cached_property
    def _text_config(self) -> dict[str, Any]:
        config = {key: value for key, value in self._source.architecture.cfg.items() if key not in _NOT_TEXT}
        text = dict(config["text_cfg"])
        text.pop("tokenizer_kwargs", None)  # see below
        return {**config, "text_cfg": text}

    @cached_property
    def _tokenizer_identity(self) -> dict[str, Any]:
        """Where tokens come from: the content of a byte-pair file, not its path; the name only where it decides."""
        config = self._source.architecture.cfg
        options = dict(config["text_cfg"].get("tokenizer_kwargs") or {})
        options.pop("bpe_path", None)
        bpe_path = resolve_bpe_path(config)
        name = self.name if isinstance(self.name, str) else self._source.architecture.name
        decides = "siglip" in name.lower() or name.startswith(FOLDER_PREFIX)
        return {
            "options": options,
            "bpe": None if bpe_path is None else hashlib.sha256(bpe_path.read_bytes()).hexdigest(),
            "name": name if decides else None,
        }


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()
