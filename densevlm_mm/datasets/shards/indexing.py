"""Making the index of tar shards."""

import os
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from glob import glob
from pathlib import Path

import numpy as np
from braceexpand import braceexpand

from densevlm_mm.datasets.shards.index import row_type, write_index
from densevlm_mm.datasets.shards.shard_files import ShardFiles, is_address
from densevlm_mm.datasets.unlabeled_images import IMAGE_EXTENSIONS
from densevlm_mm.progress import track_batches


def index_shards(
    patterns: Sequence[str],
    out: str | Path,
    cache_dir: str | None = None,
    num_workers: int = 1,
) -> tuple[int, int]:
    """Write the index of shards.

    Shards below the folder of the index are listed relative to it, so that both can be moved together; others by their
    names alone, and the data set is told where they are; addresses as they are.

    Args:
        patterns: Paths or addresses of shards, with braces or, for local ones, stars.
        out: The ``.json`` to write.
        cache_dir: Where shards of an address are fetched to.
        num_workers: Processes that read shards.

    Returns:
        Number of shards and of images.

    Raises:
        FileNotFoundError: If a shard does not exist.
        ValueError: If one is no uncompressed tar file, or damaged, or holds two images of one name.
    """
    paths = _expand(patterns)
    files = ShardFiles(cache_dir=cache_dir)
    names = [path if is_address(path) else _name(Path(path), Path(out).parent) for path in paths]
    read = partial(_read_shard, files)
    if num_workers > 1:
        with ProcessPoolExecutor(num_workers) as pool:
            return len(paths), write_index(out, names, _tracked(pool.map(read, paths), len(paths)))
    return len(paths), write_index(out, names, _tracked(map(read, paths), len(paths)))


def list_members(path: Path) -> np.ndarray:
    """List the images of a tar file in its order.

    Returns:
        (N,) of :func:`row_type`.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it is no uncompressed tar file, is damaged, or holds two images of one name.
    """
    rows = []
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.isreg() and member.name.lower().endswith(IMAGE_EXTENSIONS):
                    name = member.name.removeprefix("./").encode("utf-8", "surrogateescape")
                    rows.append((member.offset_data, member.size, max(int(member.mtime), 0), name))
    except tarfile.TarError as error:
        raise ValueError(f"the shard {path} is no whole, uncompressed tar file: {error}") from error
    repeated = [name for name, times in Counter(row[3] for row in rows).items() if times > 1]
    if repeated:
        raise ValueError(f"the shard {path} holds {repeated[0].decode(errors='replace')!r} twice")
    width = max((len(row[3]) for row in rows), default=1)
    return np.array(rows, dtype=row_type(width))


def _expand(patterns: Sequence[str]) -> list[str]:
    paths: list[str] = []
    for pattern in patterns:
        for path in braceexpand(pattern):
            matches = sorted(glob(path)) if "*" in path and not is_address(path) else [path]
            if not matches:
                raise FileNotFoundError(f"there is no shard {path}")
            paths += matches
    return paths


def _name(path: Path, folder: Path) -> str:
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _tracked(results: Iterable[tuple[int, np.ndarray]], total: int) -> Iterator[tuple[int, np.ndarray]]:
    return (result for (result,) in track_batches(([result] for result in results), total, "indexing, shards"))


def _read_shard(files: ShardFiles, path: str) -> tuple[int, np.ndarray]:
    local = files.local(path)
    if not local.is_file():
        raise FileNotFoundError(f"there is no shard {path}")
    return local.stat().st_size, list_members(local)
