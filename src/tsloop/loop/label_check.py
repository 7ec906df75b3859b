"""Check the labels of an iteration, or any journal, before a stage takes them in.

Unlike `dataset@`, which refuses labels at their first fault, this looks at all lines and faults.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tsloop.annotations.checks.config import ChecksConfig
from tsloop.annotations.checks.findings import Finding
from tsloop.annotations.checks.run import Material, check_labels
from tsloop.annotations.checks.second import second_opinions
from tsloop.annotations.dataset import find_leaks, gold_ids
from tsloop.annotations.faults import fitting_faults, in_one_line, record_faults
from tsloop.annotations.fitting import fit_record, stored_series
from tsloop.annotations.gold import GoldSet, read_gold
from tsloop.annotations.journal import latest, parse_records, read_text
from tsloop.annotations.record import AnnotationRecord
from tsloop.annotations.snapshot import read_snapshot
from tsloop.config.params import read_iterations, read_params
from tsloop.config.schema import section
from tsloop.errors import AnnotationError, TsloopError
from tsloop.labels import LabelSet, builtin_label_set, load_label_set
from tsloop.project import BASE, Project
from tsloop.series.store import SeriesStore

__all__ = [
    "Checked",
    "check_is_iteration",
    "check_iteration",
    "check_journal",
    "journal_of",
    "project_label_set",
]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and what was found under which settings."""

    journal: Path
    n_records: int
    n_intervals: int
    findings: tuple[Finding, ...]
    config: ChecksConfig


def check_iteration(project: Project, iteration: str) -> Checked:
    """The iteration's own journal on top of what its parent's snapshot holds."""
    iterations = read_iterations(project)
    parent = iterations[iteration].parent if iteration in iterations else BASE
    earlier: dict[str, AnnotationRecord] = {}
    if project.snapshot(parent).is_dir():
        earlier = dict(read_snapshot(project.snapshot(parent)).records)
    second = project.second(iteration)
    return _check(
        project,
        journal_of(project, iteration),
        earlier=earlier,
        second=second if second.exists() else None,
    )


def check_journal(project: Project, path: Path) -> Checked:
    """A journal by itself, wherever it lies."""
    return _check(project, path)


def check_is_iteration(project: Project, name: str) -> None:
    """Raise `AnnotationError` where a name is that of no iteration: a mistyped path, for one."""
    names = list(read_iterations(project))
    with suppress(TsloopError):  # a path is no name
        if name in names or project.labels(name).exists():
            return
    known = f"Iterations are {', '.join(names)}" if names else "There is no iteration yet"
    raise AnnotationError(
        f"{name!r} is neither an iteration nor a file.",
        hint=f"{known}; give a journal by its path.",
    )


def journal_of(project: Project, iteration: str) -> Path:
    """The journal that counts: people's where there is one, else a simulated annotator's."""
    paths = (project.labels(iteration), project.simulated(iteration))
    for path in paths:
        if path.exists():
            return path
    raise AnnotationError(
        f"{iteration} has no labels yet: {project.relative(paths[0])} does not exist.",
        hint=f"Write what to label with: tsloop labels template {iteration}",
    )


def project_label_set(project: Project) -> LabelSet:
    """The label set that the project uses now."""
    chosen = section(read_params(project), "labels").set
    return builtin_label_set() if chosen == "tsloop" else load_label_set(project.root / chosen)


def _check(
    project: Project,
    journal: Path,
    *,
    earlier: dict[str, AnnotationRecord] | None = None,
    second: Path | None = None,
) -> Checked:
    store = SeriesStore.open(project.series)
    label_set = project_label_set(project)
    config: ChecksConfig = section(read_params(project), "checks")
    material = Material(label_set, config, earlier=earlier or {})
    read, faults = _read(journal)
    material.found += faults
    own = {i: r for i, r in latest(read).items() if _counts(r, material.earlier.get(i))}
    merged: list[dict[str, Any]] = []
    fitted: dict[str, AnnotationRecord] = {}
    for series_id, record in sorted({**material.earlier, **own}.items()):
        try:
            series = stored_series(record, store)
        except TsloopError as error:
            material.found.append(Finding("bounds", series_id, error.message))
            continue
        if wrong := fitting_faults(record, series, label_set):
            material.found.append(Finding("bounds", series_id, in_one_line(wrong)))
            continue
        found = fit_record(record, series, label_set)
        fitted[series_id] = found.record
        merged += found.merged
        material.see(series, found.record)
    gold = _gold(project)
    material.records, material.merged, material.fresh = fitted, merged, frozenset(own)
    material.gold = {name: store[name] for name in gold_ids(store, gold) if name in store.entries}
    leaks = find_leaks(fitted, store, gold)
    material.found += [Finding("leakage", name, what) for name, what in leaks.items()]
    if second is not None:
        material.found += second_opinions(journal, second, store, label_set, config)
    n_intervals = sum(len(record.intervals) for record in own.values())
    return Checked(journal, len(own), n_intervals, tuple(check_labels(material)), config)


def _counts(record: AnnotationRecord, held: AnnotationRecord | None) -> bool:
    return held is None or record.revision > held.revision or record == held


def _read(journal: Path) -> tuple[list[AnnotationRecord], list[Finding]]:
    """The records of a journal, and a finding for each line that is none."""
    records: list[AnnotationRecord] = []
    faults: list[Finding] = []
    for number, line in _lines(read_text(journal)):
        try:
            records += parse_records(line, f"{journal.name}, line {number}")
        except TsloopError as error:
            faults.append(Finding("bounds", "", _line_fault(journal, number, line, error)))
    seen: dict[tuple[str, int], AnnotationRecord] = {}
    for record in records:
        held = seen.setdefault((record.series_id, record.revision), record)
        if held != record:
            what = f"has two different records of revision {record.revision}"
            faults.append(Finding("bounds", record.series_id, what))
    return list(seen.values()), faults


def _line_fault(journal: Path, number: int, line: str, error: TsloopError) -> str:
    """What is wrong with a line: all of it where it is an object, else that it is none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        row = None
    if isinstance(row, dict):
        return f"{journal.name}, line {number}: {in_one_line(record_faults(row))}"
    return error.message.replace(f"line {number}, line 1", f"line {number}", 1)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _gold(project: Project) -> GoldSet:
    path = project.labels("gold")
    return read_gold(path) if path.exists() else GoldSet({}, 0, "", frozenset())
