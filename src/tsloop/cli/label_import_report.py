"""What ``tsloop labels import`` says: files, labels, failures, and what would be written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from tsloop.annotations.formats.base import Failure
    from tsloop.annotations.formats.binding import Bound
    from tsloop.annotations.formats.importing import FileReading
    from tsloop.annotations.formats.mapping import Survey
    from tsloop.loop.label_import import Plan

__all__ = ["say_failures", "say_file", "say_labels", "say_notes", "say_plan", "say_total"]

_SHOWN = 8


def say_file(file: FileReading) -> None:
    """One file: its account, what was mended, what could not be read."""
    typer.echo(f"{file.path}: {file.account}")
    for repair, count in file.repairs.most_common(_SHOWN):
        typer.echo(f"  mended or noted: {repair} ({count})")
    for doubt, count in file.doubts.most_common(_SHOWN):
        typer.echo(f"  doubtful: {doubt} ({count})")
    for failure in (file.reading.failures if file.reading else ())[:_SHOWN]:
        typer.echo(f"  unreadable: {failure.place}: {failure.reason}", err=True)
    for skip in (file.reading.skipped if file.reading else ())[:_SHOWN]:
        typer.echo(f"  set aside: {skip.place}: {skip.reason}")


def say_total(files: Sequence[FileReading]) -> None:
    """The sum over several files."""
    from tsloop.names import counted

    readings = [file.reading for file in files if file.reading is not None]
    if len(readings) > 1:
        records = sum(len(reading.records) for reading in readings)
        intervals = sum(reading.n_intervals for reading in readings)
        said = f"{counted(records, 'record')}, {counted(intervals, 'interval')}"
        typer.echo(f"Together: {said} in {counted(len(readings), 'file')}.")


def say_labels(found: Survey, ref: str) -> None:
    """Labels that are not ours by id, and values of attributes without a place."""
    from tsloop.annotations.formats.mapping import How
    from tsloop.names import counted

    odd = [(label, f, n) for label, (f, n) in found.labels.items() if f.how is not How.SAME]
    if odd:
        typer.echo(f"Labels that are not those of {ref} by id:")
    for label, how, count in odd:
        leads = f"→ {how.to} ({how.how})" if how.to else f"OPEN ({how.how})"
        typer.echo(f"  {label}: {counted(count, 'interval')} {leads}")
    for (attribute, value), (to, count) in found.overall.items():
        if to is None:
            n_records = counted(count, "record")
            typer.echo(f"  {attribute} = {value}: {n_records}; no value of {ref}, kept aside")


def say_failures(failures: Sequence[Failure], hints: Counter[str]) -> None:
    """Records that cannot be imported, with the first hints."""
    from tsloop.names import counted

    if not failures:
        return
    typer.echo(f"{counted(len(failures), 'record')} cannot be imported:", err=True)
    for failure in failures[:_SHOWN]:
        typer.echo(f"  {failure.reason}", err=True)
    if len(failures) > _SHOWN:
        typer.echo(f"  … and {len(failures) - _SHOWN} more", err=True)
    for hint, _ in hints.most_common(3):
        typer.echo(f"  {hint}", err=True)


def say_notes(bound: Iterable[Bound]) -> None:
    """Times that were moved to samples."""
    notes: Counter[str] = Counter(
        note for item in bound for note in set(item.notes) if note.startswith("a time moved")
    )
    for note, count in notes.most_common(_SHOWN):
        typer.echo(f"  {note} ({count})")


def say_plan(plan: Plan) -> None:
    """What is there already, what becomes a revision, what stands against it."""
    from tsloop.names import counted

    if plan.same:
        typer.echo(f"There already: {counted(len(plan.same), 'record')}.")
    if plan.stated:
        typer.echo(f"There already, to be stated as blind: {counted(len(plan.stated), 'record')}.")
    if plan.revised:
        typer.echo(f"A later revision: {counted(len(plan.revised), 'record')}.")
    for conflict in plan.conflicts[:_SHOWN]:
        typer.echo(f"  conflict: {conflict.record.series_id}: {conflict.reason}", err=True)
    if len(plan.conflicts) > _SHOWN:
        typer.echo(f"  … and {len(plan.conflicts) - _SHOWN} more conflicts", err=True)
