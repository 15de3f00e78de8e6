"""Tar shards as files: local ones, and those of an address, which are fetched first."""

import os
from collections import OrderedDict
from pathlib import Path
from urllib.parse import quote, urlsplit

from filelock import FileLock

from densevlm_mm.datasets.image_files import UnreadableImageError
from densevlm_mm.datasets.shards.index import Member

# Those of webdataset without "pipe:", which runs what a data file says.
_SCHEMES = ("http", "https", "gs", "hf", "ais", "ftps", "sftp", "scp")


def is_address(shard: str) -> bool:
    """Whether a shard is to be fetched.

    Raises:
        ValueError: If its scheme is not one that is fetched.
    """
    if "://" not in shard and not shard.startswith("pipe:"):
        return False
    if urlsplit(shard).scheme not in _SCHEMES:
        raise ValueError(f"the shard {shard!r} has none of the schemes {', '.join(_SCHEMES)}")
    return True


class ShardFiles:
    """Read members of shards.

    Args:
        root: Folder or address that the names of shards are relative to.
        cache_dir: Folder that shards of an address are fetched to, for all processes of a machine.
        cache_bytes: Most that the folder holds; the oldest are removed before more are fetched. None: no limit.
        num_open: Most files that are kept open.

    Raises:
        ValueError: If `root` is an address and there is no `cache_dir`.
    """

    def __init__(
        self, root: str = "", cache_dir: str | None = None, cache_bytes: int | None = None, num_open: int = 256
    ) -> None:
        self.root = root
        self.cache_dir = cache_dir
        self.cache_bytes = cache_bytes
        self.num_open = num_open
        self._open: OrderedDict[str, int] = OrderedDict()
        if root and is_address(root):
            self._require_cache(root)

    def __getstate__(self) -> dict:
        """A copy opens its files itself."""
        return {**self.__dict__, "_open": OrderedDict()}

    def path(self, shard: str) -> str:
        """Path or address of a shard."""
        return shard if not self.root or is_address(shard) else os.path.join(self.root, shard)

    def read(self, member: Member, file_size: int) -> bytes:
        """Read an image.

        Args:
            member: The image.
            file_size: Bytes that the shard had when it was indexed.

        Raises:
            UnreadableImageError: If its bytes cannot be read.
            ValueError: If the shard is gone, or has another size than it had.
            OSError: If the shard cannot be opened or fetched.
        """
        descriptor = self._descriptor(member.shard, file_size)
        try:
            content = os.pread(descriptor, member.size, member.offset)
        except OSError as error:
            raise UnreadableImageError(f"{self.path(member.path)} cannot be read: {error}") from error
        if len(content) != member.size:
            raise UnreadableImageError(f"{self.path(member.path)}: its shard has been cut short")
        return content

    def local(self, shard: str) -> Path:
        """Find the file of a shard; fetch it if it is not there yet.

        Raises:
            OSError: If it cannot be fetched.
        """
        path = self.path(shard)
        return self._fetched(path) if is_address(path) else Path(path)

    def close(self) -> None:
        """Close all files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, shard: str, file_size: int) -> int:
        if shard not in self._open:
            descriptor = self._opened(shard)
            found = os.fstat(descriptor).st_size
            if found != file_size:
                os.close(descriptor)
                raise ValueError(
                    f"the shard {self.path(shard)} has {found} bytes and had {file_size} when it was indexed: fetch it "
                    "again, or index it again with tools/dataset_converters/images_to_shards.py index"
                )
            self._open[shard] = descriptor
            if len(self._open) > self.num_open:
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(shard)
        return self._open[shard]

    def _opened(self, shard: str) -> int:
        for _ in range(2):  # another process may have made room in the cache just now
            try:
                return os.open(self.local(shard), os.O_RDONLY)
            except FileNotFoundError:
                continue
        # Not FileNotFoundError, by which a data set skips single images.
        raise ValueError(f"the shard {self.path(shard)} is gone: put it back, and go on with --resume")

    def _require_cache(self, address: str) -> str:
        if self.cache_dir is None:
            raise ValueError(f"shards of {address} are fetched to a local folder: give it as cache_dir")
        return self.cache_dir

    def _fetched(self, address: str) -> Path:
        from webdataset.cache import FileCache  # seconds, and local shards do without

        cache_dir = self._require_cache(address)
        fetcher = FileCache(cache_dir, url_to_name=_file_name, cache_size=self.cache_bytes or -1)
        target = Path(cache_dir) / _file_name(address)
        if target.exists():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{target}.lock"):  # or every worker of the machine would fetch it
            try:
                return Path(fetcher.get_file(address))
            except Exception as error:  # of curl, gsutil, ais, as strange as they come
                raise OSError(f"the shard {address} cannot be fetched: {error}") from error


def _file_name(address: str) -> str:
    return quote(address, safe="")
