"""Getting one file: resumed where it stopped, its size and digest compared before it gets its name."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, OfflineModeIsEnabled
from tqdm import tqdm

from densevlm_mm.downloads.archives import unpack
from densevlm_mm.downloads.table import Download

_TIMEOUT = 20  # seconds without an answer
_TRIES = 5  # of a connection that breaks although it has brought something
_CHUNK = 1 << 20


class UnreachableError(ConnectionError):
    """The server cannot be reached from here."""


def fetch(download: Download, target: str | Path, archives: str | Path) -> Path:
    """Fetch an entry of the table, out of its archive if it is in one.

    Args:
        download: The entry.
        target: The file or folder to make.
        archives: Folder that archives are kept in, for other entries that are in them.

    Returns:
        ``target``.

    Raises:
        UnreachableError: If the server cannot be reached.
        OSError: If it refuses, or the disk is full.
        ValueError: If what came is not what the table or the server says; or the entry is not fetchable.
    """
    target = Path(target)
    if download.hub:
        return fetch_from_hub(download.hub, download.name, target, download.size, download.sha256)
    if not download.url:
        raise ValueError(f"{download.name} cannot be fetched: {download.source}")
    if not download.member:
        return fetch_url(download.url, target, download.size, download.sha256)
    archive = Path(archives) / download.url.rsplit("/", 1)[-1]
    if not archive.is_file():
        fetch_url(download.url, archive, download.size, download.sha256)
    return unpack(archive, download.member, target)


def fetch_url(url: str, target: str | Path, size: int | None = None, sha256: str | None = None) -> Path:
    """Fetch a file by HTTP with a progress bar, going on where an earlier try stopped.

    torch.hub's downloader does not resume, and COCO's images are 19 GB. What has come so far is ``<target>.part``.

    Args:
        url: Its address.
        target: The file to write.
        size: Its bytes, if known.
        sha256: Its digest, if known.

    Returns:
        ``target``.

    Raises:
        UnreachableError: If the server cannot be reached.
        OSError: If it refuses, or the connection breaks for good.
        ValueError: If size or digest differ.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    for tries_left in reversed(range(_TRIES)):
        had = part.stat().st_size if part.exists() else 0
        try:
            _append(url, part, target.name)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416 and part.exists():  # nothing is left to send, or another file lies there now
                if size in (None, had) and _total(error) == had:
                    break
                part.unlink()
                continue
            raise OSError(f"{url}: the server says {error.code} {error.reason}") from error
        except (http.client.HTTPException, OSError) as error:
            has = part.stat().st_size if part.exists() else 0
            if has == had and isinstance(error, urllib.error.URLError | TimeoutError):
                raise UnreachableError(f"{url}: {getattr(error, 'reason', error)}") from error
            if not tries_left or isinstance(error, PermissionError):
                raise OSError(f"{url}: {error}; the same command goes on at {has / 1e6:.1f} MB") from error
            time.sleep(1)
    verify(part, url, size, sha256)
    os.replace(part, target)
    return target


def _append(url: str, part: Path, title: str) -> None:
    """Append what is missing; from the start if the server does not send parts."""
    had = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={had}-"} if had else {})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
        goes_on = answer.status == 206
        had = had if goes_on else 0
        length = answer.headers.get("Content-Length")
        total = None if length is None else had + int(length)
        bar = tqdm(desc=title, total=total, initial=had, unit="B", unit_scale=True)
        with part.open("ab" if goes_on else "wb") as file, bar:
            while chunk := answer.read(_CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
            if total is not None and file.tell() != total:
                raise http.client.IncompleteRead(b"", total - file.tell())


def _total(error: urllib.error.HTTPError) -> int | None:
    """Bytes of the whole file, as an answer 416 states it."""
    total = (error.headers.get("Content-Range") or "").rpartition("/")[2]
    return int(total) if total.isdigit() else None


def verify(path: Path, source: str, size: int | None, sha256: str | None) -> None:
    """Compare a file that came with what is known of it, and remove it if it is something else.

    Raises:
        ValueError: If size or digest differ.
    """
    found: object = path.stat().st_size
    if size is None or found == size:
        if sha256 is None:
            return
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found == sha256:
            return
    path.unlink()
    known = f"{size} bytes" if isinstance(found, int) else f"SHA-256 {sha256}"
    raise ValueError(f"{source} is not what it was: expected {known}, got {found}; removed it")


def fetch_from_hub(
    repository: str,
    name: str,
    target: Path,
    size: int | None = None,
    sha256: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Fetch a file of a repository on huggingface.co with its own client.

    Args:
        repository: ``<owner>/<repository>``.
        name: The file's path in it.
        target: The file to write.
        size: Its bytes, if known; default: what the hub says.
        sha256: Its digest, if known; default: what the hub says of large files.
        endpoint: Address of the hub; default: the client's.

    Returns:
        ``target``.

    Raises:
        UnreachableError: If the hub cannot be reached, or the client is told to stay offline (``HF_HUB_OFFLINE``).
        OSError: If there is no such file, or it may not be fetched.
        ValueError: If size or digest differ.
    """
    title = f"{repository}/{name}"
    try:
        facts = get_hf_file_metadata(hf_hub_url(repository, name, endpoint=endpoint), endpoint=endpoint)
        got = hf_hub_download(repository, name, revision=facts.commit_hash, local_dir=target.parent, endpoint=endpoint)
    except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
        raise UnreachableError(f"{title}: {_first_line(error)}") from error
    except EntryNotFoundError as error:
        raise FileNotFoundError(f"{title}: huggingface.co has no such file") from error
    except Exception as error:  # which HTTP client it is, and so what it raises, changes with the hub's version
        kind = UnreachableError if not hasattr(error, "response") or error.response is None else OSError
        raise kind(f"{title}: {_first_line(error)}") from error
    is_digest = facts.etag is not None and len(facts.etag) == 64
    verify(Path(got), title, size or facts.size, sha256 or (facts.etag if is_digest else None))
    if Path(got) != target:
        os.replace(got, target)
    return target


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
