"""Turning an experiment into one that predicts on a user's images."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from densevlm_mm.apis.outputs import enable_show, innermost_dataset
from densevlm_mm.datasets.unlabeled_images import IMAGE_EXTENSIONS


def predict_on_images(cfg: Config, images: Sequence[str], out_dir: str, score_thr: float | None = None) -> None:
    """Let the test run of an experiment read images without annotations, and write predictions instead of figures.

    Written are ``out_dir/predictions.json`` and pictures, a segmentor's label maps too. ``out_dir/images.txt`` lists
    what was read.

    Args:
        cfg: The experiment of a detector or segmentor, changed in place.
        images: Image files and folders.
        out_dir: Folder of the results, made when missing.
        score_thr: Only boxes with a higher score are drawn; all are written.

    Raises:
        FileNotFoundError: If an image or folder does not exist.
        ValueError: If there is no image at all, or the config tests no detector or segmentor.
    """
    if cfg.get("default_scope") not in ("mmdet", "mmseg") or "test_dataloader" not in cfg:
        raise ValueError(f"{cfg.filename} is no detector's or segmentor's config with a test_dataloader.")
    paths = [path for item in images for path in _image_files(Path(item))]
    if not paths:
        raise ValueError(f"no image in {', '.join(images)}; known endings: {', '.join(IMAGE_EXTENSIONS)}")
    out = Path(out_dir).absolute()
    out.mkdir(parents=True, exist_ok=True)
    listing = out / "images.txt"
    listing.write_text("".join(f"{path.absolute()}\n" for path in dict.fromkeys(paths)))
    steps = [step for step in innermost_dataset(cfg).pipeline if not _reads_annotations(step["type"])]
    cfg.test_dataloader.dataset = dict(
        type="densevlm_mm.UnlabeledImageDataset",
        source=str(listing),
        pipeline=steps,
        test_mode=True,
        allowed_roots=("/",),
    )
    cfg.test_evaluator = dict(type="densevlm_mm.PredictionRecorder", out_dir=str(out))
    enable_show(cfg, str(out / "pictures"))
    if score_thr is not None and cfg.default_scope == "mmdet":
        cfg.default_hooks.visualization.score_thr = score_thr


def _image_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_EXTENSIONS)
    if not path.is_file():
        raise FileNotFoundError(f"there is no image or folder {path}.")
    return [path]


def _reads_annotations(kind: str) -> bool:
    name = kind.rpartition(".")[2]
    return name.startswith("Load") and "Image" not in name
