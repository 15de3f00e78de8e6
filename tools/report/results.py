"""Everything that the page shows, collected from the files that the tasks have written."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densevlm_mm.analysis.tradeoff import dense_mean
from report.beyond_orderings import BEYOND_EXPECTATIONS
from report.experiments import LABELS
from report.orderings import OUR_EXPECTATIONS, PAPER_ORDERINGS, QUESTIONS, Finding, compare
from report.runs import Outcome
from report.segmentation import METRICS, SEGMENTORS, segmentation_file
from report.settings import Settings, result_file, retention_file, tradeoff_file
from report.statistics import Spread, over_seeds
from report.tasks import Task, package_versions, source_digest


@dataclass(frozen=True)
class Run:
    """A task that finished.

    Args:
        name: Of the task.
        command: As one would type it; folders outside the repository are called OUT and DATA.
        seconds: Wall time.
        cpu_seconds: CPU time with data loading.
        is_current: Whether this package's source code is still what it ran.
    """

    name: str
    command: str
    seconds: float
    cpu_seconds: float
    is_current: bool


@dataclass(frozen=True)
class Report:
    """The content of the page.

    Args:
        results: Seed -> experiment -> metric -> value. Metrics of whole images are among them. The teachers, which all
            seeds share, stand with the first one.
        summary: Experiment -> metric -> spread over the seeds.
        paper: The orderings that the paper states.
        expectations: What we expect of this world.
        questions: What neither shows.
        beyond: What we expect of the experiments beyond the paper.
        runs: What ran, in order.
        failures: Name of a task to what is known about it.
        versions: Of packages.
    """

    settings: Settings
    results: dict[int, dict[str, dict[str, float]]]
    summary: dict[str, dict[str, Spread]]
    paper: tuple[Finding, ...]
    expectations: tuple[Finding, ...]
    questions: tuple[Finding, ...]
    beyond: tuple[Finding, ...]
    runs: tuple[Run, ...]
    failures: dict[str, str]
    versions: dict[str, str]

    def record(self) -> dict[str, Any]:
        """What ``report.json`` holds."""
        return dict(
            quick=self.settings.quick,
            seeds=list(self.settings.seeds),
            experiments=[experiment.name for experiment in self.settings.experiments],
            results=[dict(seed=seed, **experiments) for seed, experiments in self.results.items()],
            summary={
                name: {metric: dict(mean=s.mean, std=s.std, n=len(s.values)) for metric, s in metrics.items()}
                for name, metrics in self.summary.items()
            },
            paper_orderings=[_finding_record(finding) for finding in self.paper],
            our_expectations=[_finding_record(finding) for finding in self.expectations],
            questions=[_finding_record(finding) for finding in self.questions],
            beyond_expectations=[_finding_record(finding) for finding in self.beyond],
            runs=[vars(run) for run in self.runs],
            failures=self.failures,
            versions=self.versions,
        )


def collect(settings: Settings, tasks: Sequence[Task], outcome: Outcome) -> Report:
    """Read what the finished tasks have written.

    Args:
        settings: Of the report.
        tasks: All tasks.
        outcome: What became of them.
    """
    done = outcome.done
    results = {seed: _metrics_of_seed(settings, seed, done) for seed in settings.seeds}
    runs = []
    for task in tasks:
        if task.name in done:
            record = task.record()
            shown = shlex.join(("python", *(anonymous(settings, argument) for argument in task.command)))
            is_current = record["source"] == source_digest()
            runs.append(Run(task.name, shown, record["seconds"], record["cpu_seconds"], is_current))
    failures = {name: anonymous(settings, text) for name, text in outcome.failed.items()}
    failures |= {name: f"not run, it needs {needed}" for name, needed in outcome.skipped.items()}
    return Report(
        settings=settings,
        results=results,
        summary=over_seeds(results),
        paper=tuple(compare(ordering, results) for ordering in PAPER_ORDERINGS),
        expectations=tuple(compare(ordering, results) for ordering in OUR_EXPECTATIONS),
        questions=tuple(compare(ordering, results) for ordering in QUESTIONS),
        beyond=tuple(compare(ordering, results) for ordering in BEYOND_EXPECTATIONS),
        runs=tuple(runs),
        failures=failures,
        versions=package_versions(),
    )


def anonymous(settings: Settings, text: str) -> str:
    """A text without folders of this machine."""
    for folder, name in ((settings.data, "DATA"), (settings.out, "OUT")):
        if Path(settings.shown(folder)).is_absolute():
            text = text.replace(settings.shown(folder), name)
    return text.replace(f"{settings.root}/", "")


def _metrics_of_seed(settings: Settings, seed: int, done: set[str]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for experiment in settings.experiments:
        if not experiment.runs_with(seed, settings.seeds):
            continue
        path = result_file(settings, experiment, seed)
        if _is_done(settings, path, done):
            found[experiment.name] = _with_derived(_read(path)["metrics"])
        path = retention_file(settings, experiment, seed)
        if experiment.name in found and _is_done(settings, path, done):
            found[experiment.name].update(_read(path)[experiment.name])
        for segmentor in SEGMENTORS:
            path = segmentation_file(settings, experiment, seed, segmentor)
            if experiment.name in found and _is_done(settings, path, done):
                figures = _read(path)["metrics"]
                found[experiment.name].update({f"{segmentor.name}_{key}": figures[key] for key in METRICS.values()})
    path = tradeoff_file(settings, seed)
    if _is_done(settings, path, done):
        content = _read(path)
        for experiment in settings.experiments:
            title = LABELS[experiment.name]
            if experiment.name in found and title in content["models"]:
                found[experiment.name].update(_curve_figures(title, content))
    return found


def _is_done(settings: Settings, path: Path, done: set[str]) -> bool:
    """Whether the task in whose folder a file lies has finished."""
    return str(path.parent.relative_to(settings.folder(""))) in done


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _with_derived(metrics: dict[str, float]) -> dict[str, float]:
    """Add the mean of Boxes, Masks-T and Masks-S, and the coherence in percent."""
    derived = dict(metrics, dense_mean=dense_mean(metrics))
    if "coherence_auc" in metrics:
        derived["coherence"] = 100 * metrics["coherence_auc"]
    return derived


def _curve_figures(title: str, content: dict[str, Any]) -> dict[str, float]:
    """Of a curve over alpha, for both recalls: 1 if it lies above another curve of the same method, else 0.

    Curves of other methods are no comparison: what is above what is asked of a method with and without retention.
    """
    method = title.split(",")[0].split(" (")[0]
    above = {
        record["figure"]
        for record in content["lies_above"]
        if record["curve"] == title and record["lies_above"].startswith(method)
    }
    return {f"curve_above_{key}": float(key in above) for key in ("image_to_text_r1", "text_to_image_r1")}


def _finding_record(finding: Finding) -> dict[str, Any]:
    ordering = finding.ordering
    return dict(
        title=ordering.title,
        source=ordering.source,
        metric=ordering.metric,
        margin=ordering.margin,
        share=ordering.share,
        is_required=ordering.is_required,
        paper_difference=ordering.paper_difference,
        verdict=finding.verdict,
        holds={str(seed): holds for seed, holds in zip(finding.seeds, finding.holds, strict=True)},
        holds_on_mean=finding.holds_on_mean,
        differences=[
            dict(lower=low, higher=high, mean=d.mean, std=d.std, per_seed=list(d.values))
            for (low, high), d in zip(ordering.pairs, finding.differences, strict=False)
        ],
    )
