"""The page of the report: ``index.html``, ``report.json`` and the pictures that they need beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from densevlm_mm.files import write_text
from densevlm_mm.tables import write_json
from report import beyond, segmentation
from report.experiment import Table
from report.experiments import (
    COLUMNS,
    EXPERIMENTS,
    LABELS,
    LOWER_IS_BETTER,
    RETENTION_COLUMNS,
    TABLES,
)
from report.orderings import (
    AGREES,
    DISAGREES,
    MIXED,
    NOT_MEASURED,
    OFFSET_DECOUPLING,
    Finding,
    Ordering,
    compare,
)
from report.pictures import page_pictures, tradeoff_picture
from report.results import Report
from report.settings import Settings
from report.statistics import Spread, best_experiments

_TEMPLATE = "page.html.j2"
_METRIC_GROUPS = {
    "table": COLUMNS,
    "retention": RETENTION_COLUMNS,
    "beyond": beyond.COLUMNS,
    "segmentation": segmentation.COLUMNS,
}


@dataclass(frozen=True)
class Cell:
    """A cell of a table: the figures, one below the other, and whether the first is the best of its column."""

    texts: tuple[str, ...]
    is_best: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table of the page: heads of its columns, and rows of a title and cells."""

    title: str
    note: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def write_report(report: Report) -> Path:
    """Write the page, the JSON file and the pictures of the report itself.

    Returns:
        The page.
    """
    folder = report.settings.folder("")
    write_json(folder / "report.json", report.record())
    pictures = page_pictures(report)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(_TEMPLATE).render(
        report=report,
        settings=report.settings,
        command=command_line(report.settings),
        summary_lines=summary_lines(report),
        paper=finding_groups(report.paper),
        expectations=finding_groups(report.expectations),
        questions=report.questions,
        tables=page_tables(report, TABLES, "table"),
        beyond=finding_groups(report.beyond),
        beyond_line=_count("expectations", report.beyond),
        required_line=_count("required ones", [f for f in report.beyond if f.ordering.is_required]),
        beyond_tables=[
            *page_tables(report, beyond.TABLES, "beyond"),
            *page_tables(report, (segmentation.TABLE,), "segmentation"),
        ],
        retention=retention_table(report),
        seed_tables=[seed_table(report, seed) for seed in report.settings.seeds],
        pictures=pictures,
        tradeoff=tradeoff_picture(report),
        stale=[run.name for run in report.runs if not run.is_current],
        cpu_minutes=sum(run.cpu_seconds for run in report.runs) / 60,
    )
    path = folder / "index.html"
    write_text(path, page)
    return path


def command_line(settings: Settings) -> str:
    """What to type to get the same report."""
    arguments = ["--seeds", *map(str, settings.seeds)]
    if len(settings.experiments) < len(EXPERIMENTS):
        arguments += ["--only", *(experiment.name for experiment in settings.experiments)]
    return " ".join(["python tools/reproduce_tiny.py", *arguments, *(["--quick"] if settings.quick else [])])


def finding_groups(findings: Sequence[Finding]) -> list[tuple[str, list[Finding]]]:
    """The findings by verdict, those that agree first; without empty groups."""
    groups = [
        (verdict, [finding for finding in findings if finding.verdict == verdict])
        for verdict in (AGREES, MIXED, DISAGREES, NOT_MEASURED)
    ]
    return [(verdict, members) for verdict, members in groups if members]


def summary_lines(report: Report) -> list[str]:
    """What the figures say, in sentences made from them."""
    lines = [
        _count("orderings that the paper's Table 3 states for its rows", report.paper),
        _count("expectations of ours", report.expectations),
    ]
    gain = _change(report, "row1", "row4", "masks_s_top1")
    decoupling = next(finding for finding in report.questions if finding.ordering == OFFSET_DECOUPLING)
    if gain is not None and decoupling.seeds:
        difference = decoupling.differences[0]
        # One seed, or a difference within the deviation over seeds, decides nothing.
        is_clear = difference.std is not None and abs(difference.mean) > difference.std
        says = {
            AGREES: "so decoupling adds more here than a shift of the boundary between things and stuff",
            DISAGREES: "so what decoupling adds here is no more than a shift of the boundary between things and stuff",
        }.get(
            decoupling.verdict if is_clear else MIXED, "which does not settle if it adds more than a shift between them"
        )
        lines.append(
            f"Decoupling (row 4 against row 1) changes Masks-S by {gain.text(signed=True)} points; with the best "
            f"constant offset between things and stuff in both, by {difference.text(signed=True)} "
            f"({decoupling.seeds_text}), {says}."
        )
    keys = ("class_top1", "image_to_text_r1", "text_to_image_r1")
    changes = [change.text(signed=True) for key in keys if (change := _change(report, "before", "row4", key))]
    if len(changes) == len(keys):
        lines.append(
            f"On whole images, training as DenseVLM changes zero-shot Top-1 by {changes[0]} points, image-to-text R@1 "
            f"by {changes[1]} and text-to-image R@1 by {changes[2]}."
        )
    return lines


def _count(what: str, findings: Sequence[Finding]) -> str:
    measured = [finding.verdict for finding in findings if finding.verdict != NOT_MEASURED]
    agrees, mixed, disagrees = (measured.count(verdict) for verdict in (AGREES, MIXED, DISAGREES))
    return (
        f"{len(measured)} {what} were measured: {agrees} hold on the mean and in every seed, {mixed} on the mean or in "
        f"some seeds only, {disagrees} do not hold."
    )


def _change(report: Report, low: str, high: str, metric: str) -> Spread | None:
    """Difference of two experiments over the seeds that have both; None if there is none."""
    differences = compare(Ordering("", metric, ((low, high),)), report.results).differences
    return differences[0] if differences else None


def _cells(report: Report, name: str, rows: Sequence[str], group: str, marks_best: bool) -> tuple[Cell, ...]:
    """A row: mean and deviation of every column's metrics; the first metric of a column decides which is best."""
    cells = []
    for keys in _METRIC_GROUPS[group].values():
        values = [report.summary[name][key] for key in keys if key in report.summary.get(name, {})]
        best = best_experiments(report.summary, rows, keys[0], keys[0] in LOWER_IS_BETTER) if marks_best else set()
        cells.append(Cell(tuple(value.text() for value in values) or ("–",), name in best))
    return tuple(cells)


def page_tables(report: Report, tables: Sequence[Table], group: str) -> list[PageTable]:
    """Those tables of which something was measured."""
    return [made for table in tables if (made := page_table(report, table, group)) is not None]


def page_table(report: Report, table: Table, group: str = "table") -> PageTable | None:
    """A table of the page; None if nothing of it was measured.

    Args:
        report: What was measured.
        table: Its rows.
        group: Of its columns, a key of ``_METRIC_GROUPS``.
    """
    metrics = {key for keys in _METRIC_GROUPS[group].values() for key in keys}
    present = [name for name in table.rows if not metrics.isdisjoint(report.summary.get(name, {}))]
    if not present:
        return None
    rows = tuple(
        (_row_title(report, name, title), _cells(report, name, present, group, table.marks_best))
        for name, title in table.rows.items()
    )
    return PageTable(table.title, table.note, tuple(_METRIC_GROUPS[group]), rows)


def _row_title(report: Report, name: str, title: str) -> str:
    """The title of a row; it says so if a sweep was measured for one seed where the report has several."""
    sweeps = {experiment.name for experiment in report.settings.experiments if experiment.first_seed_only}
    return f"{title} (seed {report.settings.seeds[0]})" if name in sweeps and len(report.settings.seeds) > 1 else title


def retention_table(report: Report) -> PageTable | None:
    """What is left of the knowledge of whole images; None if it was not measured."""
    names = [name for name in LABELS if "class_top1" in report.summary.get(name, {}) and name not in beyond.LABELS]
    if not names:
        return None
    rows = tuple((LABELS[name], _cells(report, name, names, "retention", True)) for name in names)
    chance = report.summary[names[0]]["class_chance"].mean
    note = f"Ordinary attention and pooling, whole validation images. Guessing a class is right in {chance:.1f} %."
    return PageTable("Whole images: zero-shot classes and retrieval", note, tuple(RETENTION_COLUMNS), rows)


def seed_table(report: Report, seed: int) -> PageTable:
    """All experiments of one seed."""
    rows = tuple(
        (
            LABELS[name],
            tuple(Cell(tuple(f"{metrics[key]:.1f}" for key in keys)) for keys in COLUMNS.values()),
        )
        for name, metrics in report.results[seed].items()
    )
    return PageTable(f"Seed {seed}", "", tuple(COLUMNS), rows)
