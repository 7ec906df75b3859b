"""``tsloop labels import``: labels of other tools into a journal, every record accounted for."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsloop.cli.label_context import LabelContext, context_here
from tsloop.cli.label_import_report import (
    say_failures,
    say_file,
    say_labels,
    say_notes,
    say_plan,
    say_total,
)

if TYPE_CHECKING:
    from tsloop.annotations.formats.base import ForeignRecord, Reading, ReadOptions
    from tsloop.annotations.formats.binding import Binder, Bound
    from tsloop.annotations.formats.importing import FileReading
    from tsloop.annotations.formats.mapping import Mapped, Survey
    from tsloop.loop.label_import import Plan
    from tsloop.project import Project

__all__ = ["import_labels"]


def import_labels(
    paths: Annotated[list[Path], typer.Argument(help="Files, or folders of them.")],
    into: Annotated[
        str, typer.Option(help="Iteration whose journal takes the labels, as it001; or gold.")
    ] = "",
    format_name: Annotated[
        str, typer.Option("--format", help="Format by name (docs/formats.md); auto: by content.")
    ] = "auto",
    mapping: Annotated[
        Path | None,
        typer.Option(help="What labels, attributes and series names mean: a JSON file."),
    ] = None,
    write_mapping: Annotated[
        Path | None,
        typer.Option(help="Write such a file with everything that is open, and stop."),
    ] = None,
    zone: Annotated[str, typer.Option(help="IANA zone of times that name none.")] = "",
    author: Annotated[str, typer.Option(help="Who judged, where the file does not say.")] = "",
    index_space: Annotated[
        str, typer.Option(help="raw: rows of a file that does not say so are those of the series.")
    ] = "",
    empty: Annotated[
        str, typer.Option(help="An empty list of annotations: skip (unknown) or none (no anomaly).")
    ] = "skip",
    snap: Annotated[
        bool, typer.Option("--snap", help="Move times that are no samples to the nearest one.")
    ] = False,
    accept_doubtful: Annotated[
        bool, typer.Option("--accept-doubtful", help="Take records with doubts in as well.")
    ] = False,
    blind_by: Annotated[
        str, typer.Option(help="Gold: who states that it was labelled without proposals.")
    ] = "",
    skip_failed: Annotated[
        bool, typer.Option("--skip-failed", help="Write the others where some records cannot be.")
    ] = False,
    revise: Annotated[
        bool,
        typer.Option("--revise", help="What was judged differently becomes a later revision."),
    ] = False,
    proposals: Annotated[
        Path | None, typer.Option(help="Write proposals of models to this file, as drafts.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
) -> None:
    """Take in labels of other tools; says what was read, mended and unclear.

    Nothing is guessed, and nothing that a person said is overwritten.
    All records are written, or none (see --skip-failed); none without --into.
    """
    from tsloop.annotations.formats.base import ReadOptions
    from tsloop.annotations.formats.binding import Binder
    from tsloop.annotations.formats.mapping import Mapped, survey
    from tsloop.errors import AnnotationError

    if empty not in ("skip", "none"):
        raise AnnotationError(f"--empty is {empty!r}; choose skip or none.")
    if index_space not in ("", "raw"):
        raise AnnotationError(f"--index-space is {index_space!r}; only raw can be stated.")
    if blind_by and into != "gold":
        raise AnnotationError(
            f"--blind-by says something of gold, but --into is {into!r}.",
            hint="Give --into gold, or leave it out.",
        )
    context = context_here(needs_project=bool(into) and not dry_run)
    mapped = Mapped.load(mapping, context.label_set) if mapping else Mapped()
    options = ReadOptions(zone, empty == "none", index_space)
    readings, unread = _read(paths, format_name, options)
    records = [record for reading in readings for record in reading.records]
    found = survey(records, context.label_set, mapped)
    say_labels(found, context.label_set.ref)
    if write_mapping is not None:
        _write_mapping(write_mapping, found, records, context, mapped)
        return
    if context.store is None:
        typer.echo("No project with series here, so series and rows were not looked up.")
        raise typer.Exit(1 if unread else 0)
    binder = Binder(context.store, context.label_set, mapped, snap, author=author)
    if into and not dry_run:
        _check_labels_known(found)
    done = _Import(context, into, accept_doubtful, skip_failed, revise, dry_run, blind_by)
    failed = done.run(readings, binder, unread, proposals)
    raise typer.Exit(1 if failed else 0)


def _read(
    paths: Sequence[Path], format_name: str, options: ReadOptions
) -> tuple[list[Reading], int]:
    """What was read, and how many files could not be; without labels the command ends here."""
    from tsloop.annotations.formats.importing import read_files

    files = list(read_files(paths, format_name, options))
    for file in files:
        say_file(file)
    unread = _unread(files, paths)
    if not any(file.reading and file.reading.records for file in files):
        typer.echo("No labels found.")
        raise typer.Exit(1 if unread else 0)
    say_total(files)
    return [file.reading for file in files if file.reading is not None], unread


def _check_labels_known(found: Survey) -> None:
    from tsloop.errors import AnnotationError

    if found.open_labels:
        raise AnnotationError(
            f"Nothing was written: open labels are {', '.join(map(str, found.open_labels[:5]))}.",
            hint="Write what they mean: tsloop labels import FILE --write-mapping NEW.json, edit "
            "it, then --mapping NEW.json",
        )


@dataclass(frozen=True, slots=True)
class _Import:
    """The second half: bind, compare with what is there, write."""

    context: LabelContext
    into: str
    accept_doubtful: bool
    skip_failed: bool
    revise: bool
    dry_run: bool
    blind_by: str

    def run(
        self, readings: Sequence[Reading], binder: Binder, unread: int, proposals: Path | None
    ) -> bool:
        """Whether something could not be imported."""
        from tsloop.annotations.formats.importing import bind_all
        from tsloop.names import counted

        binding = bind_all(readings, binder)
        say_failures(binding.failures, binding.hints)
        judged = [item for item in binding.bound if not item.proposed]
        proposed = _one_per_series([item for item in binding.bound if item.proposed])
        doubtful = [item for item in judged if item.doubts]
        ready = judged if self.accept_doubtful else [i for i in judged if not i.doubts]
        say_notes(binding.bound)
        if doubtful and not self.accept_doubtful:
            typer.echo(
                f"{counted(len(doubtful), 'record')} with doubts not taken: look at them, then "
                "--accept-doubtful."
            )
        self._say_proposals(proposed, proposals)
        if not self.into:
            where = self.context.store.directory if self.context.store else ""
            typer.echo(
                f"{counted(len(ready), 'record')} of {counted(_n(ready), 'interval')} fit the "
                f"series in {where}. Import them with --into ITERATION (or gold)."
            )
            return bool(binding.failures or unread)
        return self._write(ready, len(binding.failures) + unread)

    def _write(self, ready: Sequence[Bound], failures: int) -> bool:
        from tsloop.annotations.formats.base import Failure
        from tsloop.config.params import read_iterations
        from tsloop.loop.label_import import GOLD, blind_only, plan_import
        from tsloop.names import counted

        project = self.context.project
        if project is None:
            return bool(failures)
        names = list(read_iterations(project))
        records = [item.record for item in ready]
        plan = plan_import(
            project, self.into, records, names, revise=self.revise, blind_by=self.blind_by
        )
        say_plan(plan)
        if self.into == GOLD:
            plan, refused = blind_only(plan, self.blind_by, datetime.now(UTC))
            failed = [Failure("", error.message) for error in refused]
            say_failures(failed, Counter(error.hint for error in refused))
            failures += len(refused)
        blocked = bool(failures or plan.conflicts) and not self.skip_failed
        what = f"{counted(len(plan.add), 'record')} with {counted(_n_of(plan), 'interval')}"
        if self.dry_run or blocked or not plan.add:
            if self.dry_run:
                typer.echo(f"Would write {what} into {self.into}. Nothing was written.")
            elif blocked:
                typer.echo("Nothing was written. Leave out what failed with --skip-failed.")
            else:
                typer.echo("Nothing new to write.")
            return bool(failures or plan.conflicts)
        path = _store(project, self.into, plan)
        typer.echo(f"Wrote {what} to {path}. Next: tsloop configure && dvc repro")
        return bool(failures or plan.conflicts)

    def _say_proposals(self, proposed: Sequence[Bound], path: Path | None) -> None:
        from tsloop.errors import AnnotationError
        from tsloop.files import write_text_atomic
        from tsloop.names import counted

        if not proposed:
            return
        what = f"{counted(len(proposed), 'proposal')} with {counted(_n(proposed), 'interval')}"
        if path is None or self.dry_run:
            typer.echo(f"{what} not taken: nobody has judged them. Drafts: --proposals FILE")
            return
        if path.exists():
            raise AnnotationError(f"{path} is there already.", hint="Choose another --proposals.")
        rows = [_draft(item) for item in proposed]
        write_text_atomic(path, "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
        typer.echo(f"{what} in {path}, as drafts to correct (docs/labels.md).")


def _one_per_series(proposed: Sequence[Bound]) -> list[Bound]:
    """Of several files of one run (mask, segments) the one with the most intervals: it is finer."""
    found: dict[str, Bound] = {}
    for item in proposed:
        held = found.get(item.record.series_id)
        if held is None or len(item.record.intervals) > len(held.record.intervals):
            found[item.record.series_id] = item
    return list(found.values())


def _draft(item: Bound) -> dict[str, object]:
    from tsloop.annotations.record import DRAFT

    row = item.record.to_dict()
    return {DRAFT: "A model's proposal: look, correct, and delete this key.", **row}


def _store(project: Project, into: str, plan: Plan) -> str:
    from tsloop.api import AnnotationAdapter
    from tsloop.cli.label_context import project_label_set
    from tsloop.config.params import read_iterations
    from tsloop.execution.guard import project_lock
    from tsloop.loop.gold import add_gold_records
    from tsloop.loop.label_import import GOLD
    from tsloop.series.store import SeriesStore

    with project_lock(project.root, "tsloop labels import"):
        if into == GOLD:
            store = SeriesStore.open(project.series)
            names = read_iterations(project)
            add_gold_records(project, list(plan.add), names, store, project_label_set(project))
            return project.relative(project.labels(GOLD))
        return project.relative(AnnotationAdapter(project).import_records(into, plan.add))


def _write_mapping(
    path: Path,
    found: Survey,
    records: Sequence[ForeignRecord],
    context: LabelContext,
    mapped: Mapped,
) -> None:
    """What is open goes into a file; without series here, their names are left out."""
    from tsloop.annotations.formats.binding import Binder
    from tsloop.annotations.formats.importing import open_names
    from tsloop.errors import AnnotationError
    from tsloop.names import counted

    if path.exists():
        raise AnnotationError(f"{path} is there already.", hint="Choose another --write-mapping.")
    names: dict[str, str | None] = {}
    if context.store is not None:
        names = open_names(records, Binder(context.store, context.label_set, mapped))
    draft = found.draft(context.label_set, mapped, names)
    draft.save(path)
    open_count = sum(
        to is None for part in (draft.labels, draft.overall, draft.series) for to in part.values()
    )
    guessed = sum(to is not None for to in names.values())
    typer.echo(
        f'Wrote {path}: {counted(open_count, "entry", "entries")} with "to": null or a '
        "series null are open."
    )
    if guessed:
        typer.echo(f"Matched by likeness: {counted(guessed, 'series name')}. Check them.")
    typer.echo(f"Edit it, then import with --mapping {path}")


def _unread(files: Sequence[FileReading], named: Sequence[Path]) -> int:
    """Records that cannot be read, and files without labels that were asked for by name."""
    failures = sum(len(file.reading.failures) for file in files if file.reading)
    return failures + sum(file.reading is None and file.path in named for file in files)


def _n(bound: Iterable[Bound]) -> int:
    return sum(len(item.record.intervals) for item in bound)


def _n_of(plan: Plan) -> int:
    return sum(len(record.intervals) for record in plan.add)
