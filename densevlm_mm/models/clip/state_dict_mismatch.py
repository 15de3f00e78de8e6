"""What does not fit between the tensors of a file and those of a module."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class StateDictMismatch:
    """Names that do not fit; false if there are none.

    Attributes:
        missing: Expected, but not in the file.
        unexpected: In the file, but not expected.
        reshaped: In both with different shapes, as ``name: (found) in the file, (wanted) expected``.
    """

    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    @classmethod
    def between(cls, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> "StateDictMismatch":
        """Compare two state dicts by names and shapes."""
        shared = [name for name in expected if name in found]
        return cls(
            missing=[name for name in expected if name not in found],
            unexpected=[name for name in found if name not in expected],
            reshaped=[
                f"{name}: {tuple(found[name].shape)} in the file, {tuple(expected[name].shape)} expected"
                for name in shared
                if found[name].shape != expected[name].shape
            ],
        )

    def without(
        self, missing: Iterable[str] = (), unexpected: Iterable[str] = (), missing_suffixes: Iterable[str] = ()
    ) -> "StateDictMismatch":
        """Forgive missing or unexpected names that start (or end) so."""
        return StateDictMismatch(
            [n for n in self.missing if not n.startswith(tuple(missing)) and not n.endswith(tuple(missing_suffixes))],
            [n for n in self.unexpected if not n.startswith(tuple(unexpected))],
            self.reshaped,
        )

    def __bool__(self) -> bool:
        """Whether anything does not fit."""
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        """Name the first few of each kind."""
        kinds = ((self.missing, "missing"), (self.unexpected, "unexpected"), (self.reshaped, "of another shape"))
        return "; ".join(
            f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for names, kind in kinds
            if names
        )
