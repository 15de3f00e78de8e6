"""Writing images into tar shards."""

import os
from pathlib import Path

from densevlm_mm.datasets.image_files import read_file
from densevlm_mm.datasets.shards.indexing import index_shards
from densevlm_mm.datasets.unlabeled_images import UnlabeledImageDataset
from densevlm_mm.files import atomic_write
from densevlm_mm.progress import track_batches


def pack_images(
    images: UnlabeledImageDataset,
    out: str | Path,
    images_per_shard: int = 10_000,
    prefix: str = "shard",
) -> tuple[int, int]:
    """Write images as they are into tar shards, and the shards' index.

    Images keep their order, their names below their folder and their times of modification, so that the same images
    give the same shards.

    Args:
        images: What to write.
        out: Folder to write to: ``shard_000000.tar`` and so on, and ``shards.json``.
        images_per_shard: Images of each shard but the last.
        prefix: Begin of the shards' names.

    Returns:
        Number of shards and of images.

    Raises:
        ValueError: If there are shards in the folder already, or `images_per_shard` is not positive.
        FileNotFoundError: If an image does not exist.
    """
    out = Path(out)
    if images_per_shard < 1:
        raise ValueError(f"images_per_shard must be at least 1, not {images_per_shard}")
    if any(out.glob(f"{prefix}_*.tar")):
        raise ValueError(f"{out} holds shards already: remove them, or choose another folder or prefix")
    parts = [
        range(start, min(start + images_per_shard, len(images))) for start in range(0, len(images), images_per_shard)
    ]
    paths = [str(out / f"{prefix}_{number:06d}.tar") for number in range(len(parts))]
    for path, part in zip(paths, track_batches(parts, len(images), f"packing {out}, images"), strict=True):
        _write_shard(path, images, part)
    return index_shards(paths, out / "shards.json")


def _write_shard(path: str, images: UnlabeledImageDataset, indices: range) -> None:
    from webdataset.writer import TarWriter  # seconds, and only packing needs it

    root = images.ann_file if os.path.isdir(images.ann_file) else images.data_prefix["img"]
    with atomic_write(path) as partial, TarWriter(str(partial), encoder=False, format="PAX_FORMAT") as tar:
        for index in indices:
            source = images.get_data_info(index)["img_path"]
            name = source.removeprefix(os.path.join(root, "")).lstrip("/")
            # webdataset splits a name at the first point of its last part, and joins it again.
            head, _, tail = name.rpartition("/")
            stem, _, extension = tail.partition(".")
            tar.mtime = int(os.stat(source).st_mtime) if "://" not in source else 0
            tar.write({"__key__": f"{head}/{stem}" if head else stem, extension: read_file(source)})
