"""mmengine's local files, written whole or not at all."""

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from densevlm_mm.files import atomic_write, write_text


class AtomicBackend(LocalBackend):
    """``LocalBackend`` that writes beside the file and renames; ``backend_args=dict(backend='atomic')``."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        with atomic_write(filepath) as partial:
            partial.write_bytes(obj)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = "utf-8") -> None:
        """Write text, in UTF-8."""
        write_text(filepath, obj)


register_backend("atomic", AtomicBackend, force=True)
