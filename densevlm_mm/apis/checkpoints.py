"""What a checkpoint given to ``tools/test.py`` is, and how an experiment takes it in."""

from pathlib import Path

from mmengine.config import Config

from densevlm_mm.checkpoint_files import read_checkpoint
from densevlm_mm.models.clip import CheckpointName, locate_checkpoint
from densevlm_mm.models.clip.checkpoint_layouts import to_open_clip_layout


def is_runner_checkpoint(path: str | Path) -> bool:
    """Tell a checkpoint of mmengine's Runner from published encoder weights.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If it is no checkpoint, or holds anything but tensors and plain values.
    """
    return read_checkpoint(path, verify=False).is_runner_checkpoint


def use_checkpoint(cfg: Config, path: str) -> None:
    """Test the weights in a file: a runner checkpoint, or encoder weights in any published format.

    Encoder weights take the place of ``model.encoder.checkpoint``. Class embeddings are made with their text tower, or
    with that of the config's checkpoint if the file has the image tower alone.

    Args:
        cfg: The experiment, changed in place.
        path: The weights, see :class:`CheckpointName`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file holds encoder weights and the config's model is not built around an encoder.
    """
    name = CheckpointName.parse(path)
    has_text_tower = True
    if name.kind in ("file", "url"):
        content = read_checkpoint(locate_checkpoint(None, path), verify=False)
        if content.is_runner_checkpoint:
            cfg.load_from = path
            return
        weights = to_open_clip_layout(content.content, f"checkpoint {path!r}")
        has_text_tower = any(not key.startswith(("visual.", "logit_")) for key in weights)
    encoder = cfg.model.get("encoder")
    if encoder is None:
        raise ValueError(
            f"{path} holds encoder weights, not a checkpoint of {cfg.model.type}; train the model first, or test the "
            "encoder with a config from configs/densevlm/."
        )
    if not has_text_tower:
        for key in ("class_embeddings", "test_class_embeddings"):
            embeddings = cfg.model.get(key)
            if isinstance(embeddings, dict) and "file" not in embeddings:
                embeddings.setdefault("checkpoint", encoder.checkpoint)
    encoder.checkpoint = path
    cfg.load_from = None
