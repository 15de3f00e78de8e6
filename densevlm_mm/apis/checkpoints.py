"""What a checkpoint given to ``tools/test.py`` is, and how an experiment takes it in."""

import pickle
import zipfile
from pathlib import Path

import torch
from mmengine.config import Config

from densevlm_mm.models.clip import read_state_dict


def is_runner_checkpoint(path: str | Path) -> bool:
    """Tell a checkpoint of mmengine's Runner from published encoder weights.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file holds anything but tensors and plain values.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}.")
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("constants.pkl") for name in archive.namelist()):
            return False  # TorchScript
    try:
        content = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} is refused, reading it could run code that it contains: {error}") from error
    return isinstance(content, dict) and "state_dict" in content and "meta" in content


def use_checkpoint(cfg: Config, path: str) -> None:
    """Test the weights in a file: a runner checkpoint, or encoder weights in any published format.

    Encoder weights take the place of ``model.encoder.checkpoint``. Class embeddings are made with their text tower, or
    with that of the config's checkpoint if the file has the image tower alone.

    Args:
        cfg: The experiment, changed in place.
        path: The file, or the name of published weights, ``open_clip:<tag>`` or ``hf-hub:<org>/<repository>``.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file holds encoder weights and the config's model is not built around an encoder.
    """
    is_name = path.startswith(("open_clip:", "hf-hub:"))
    if not is_name and is_runner_checkpoint(path):
        cfg.load_from = path
        return
    encoder = cfg.model.get("encoder")
    if encoder is None:
        raise ValueError(
            f"{path} holds encoder weights, not a checkpoint of {cfg.model.type}; train the model first, or test the "
            "encoder "
            "with a config from configs/densevlm/."
        )
    has_text_tower = is_name or any(not name.startswith("visual.") for name in read_state_dict(path))
    if not has_text_tower:
        for key in ("class_embeddings", "test_class_embeddings"):
            embeddings = cfg.model.get(key)
            if isinstance(embeddings, dict) and "file" not in embeddings:
                embeddings.setdefault("checkpoint", encoder.checkpoint)
    encoder.checkpoint = path
    cfg.load_from = None
