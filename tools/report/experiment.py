"""What an experiment and a table of the report are made of."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Experiment:
    """One row of a table.

    Args:
        name: Its key, on the command line, in folders and in ``report.json``.
        config: Stem of its config in ``configs/tiny``.
        trains: Whether there is a training; otherwise the weights that it is about are only evaluated.
        weights: What is evaluated without training: ``'student'``, ``'teacher'`` or ``'teacher_raw'``.
        teacher: Whose weights the teacher hook has: ``'student'`` (as initialised), ``'teacher'`` or ``'teacher_raw'``.
        with_retention: Whether its knowledge of whole images is looked at too.
        options: ``--cfg-options`` that the config gets, in training and in evaluation.
        first_seed_only: Whether it runs for the first seed alone, as sweeps do.
        caches_teacher: Whether training reads the teacher from the exact teacher cache, which all seeds share.
        reads_captions: Whether training reads captions.
        keeps_global: Whether whole images are looked at with its export that keeps the initial last blocks beside the
            trained ones (``tools/export_encoder.py --keep-global``).
        cost: About how many CPU seconds its training takes.
    """

    name: str
    config: str
    trains: bool = True
    weights: str = "student"
    teacher: str = "teacher"
    with_retention: bool = False
    options: tuple[str, ...] = ()
    first_seed_only: bool = False
    caches_teacher: bool = False
    reads_captions: bool = False
    keeps_global: bool = False
    cost: float = 60.0

    @property
    def per_seed(self) -> bool:
        """Whether it depends on the seed: there is one teacher for all seeds."""
        return self.trains or self.weights == "student"

    def runs_with(self, seed: int, seeds: Sequence[int]) -> bool:
        """Whether it runs for a seed: what does not depend on the seed, and sweeps, for the first one alone."""
        return seed == seeds[0] or (self.per_seed and not self.first_seed_only)


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Args:
        title: Heading.
        note: What its rows share.
        rows: Experiment to the title of its row.
        marks_best: Whether the best value of a column is marked.
    """

    title: str
    note: str
    rows: dict[str, str]
    marks_best: bool = True
