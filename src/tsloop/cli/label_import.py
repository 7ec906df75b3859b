"""``tsloop labels import``: labels of other tools into a journal, every record accounted for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsloop.cli.label_context import LabelContext, context_here
from tsloop.cli.label_import_report import say_file, say_labels, say_total
from tsloop.cli.label_import_write import Import

if TYPE_CHECKING:
    from tsloop.annotations.formats.base import ForeignRecord, Reading, ReadOptions
    from tsloop.annotations.formats.importing import FileReading
    from tsloop.annotations.formats.mapping import Mapped, Survey

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
    done = Import(context, into, accept_doubtful, skip_failed, revise, dry_run, blind_by)
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
