"""``tsloop labels export``: labels or detections in a format of another tool."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tsloop.cli.label_context import LabelContext, context_here

if TYPE_CHECKING:
    from tsloop.annotations.formats.exporting import Export
    from tsloop.annotations.record import AnnotationRecord
    from tsloop.labels import LabelSet

__all__ = ["export_labels", "list_formats"]

_SHOWN = 8


def export_labels(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="See docs/formats.md.")],
    out: Annotated[Path, typer.Argument(help="Folder for the files.")],
    source: Annotated[
        str,
        typer.Option(
            "--from", help="Labels of an iteration (it001), gold, or a journal file; see the next."
        ),
    ] = "",
    predictions: Annotated[
        str, typer.Option(help="Detections of a model instead: ITERATION/VARIANT, as it001/knn.")
    ] = "",
    language: Annotated[str, typer.Option(help="Language of label texts: zh or en.")] = "zh",
    window: Annotated[int, typer.Option(help="Rows a language model is shown at once.")] = 1024,
    original_labels: Annotated[
        bool,
        typer.Option("--original-labels", help="Imported labels as they were before a mapping."),
    ] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Write although labels would change.")
    ] = False,
) -> None:
    """Write labels or detections for another tool; says what it cannot hold.

    Where records, intervals, labels, "no anomaly" or attributes would be lost,
    nothing is written unless that is accepted. Nothing is overwritten.
    """
    from tsloop.annotations.formats.base import WriteContext
    from tsloop.annotations.formats.exporting import export_records
    from tsloop.annotations.formats.registry import get_format
    from tsloop.errors import AnnotationError
    from tsloop.names import counted

    target = get_format(format_name)
    if bool(source) == bool(predictions):
        raise AnnotationError(
            "Say what to export.", hint="--from it001, or --predictions it001/knn"
        )
    if language not in ("zh", "en"):
        raise AnnotationError(f"--language is {language!r}; choose zh or en.")
    if not 64 <= window <= 1 << 20:
        raise AnnotationError(f"--window is {window}; a window has 64 rows or more.")
    context = context_here(needs_project=True)
    records, label_set, failed = _records(context, source, predictions, original_labels)
    if context.store is None or not records:
        raise AnnotationError(f"There is nothing to export from {source or predictions}.")
    how = WriteContext(context.store, label_set, language, window)
    export = export_records(target, records, how)
    _say_losses(export, target.name)
    if any(loss.substance for loss in export.losses) and not accept_loss:
        raise AnnotationError(
            f"{target.name} cannot hold all of it, so nothing was written.",
            hint="Choose another format (docs/formats.md), or accept it: --accept-loss",
        )
    if not export.n_records:
        raise AnnotationError(
            f"{target.name} can hold none of the records, so nothing was written.",
            hint="Choose another format: tsloop labels formats",
        )
    n_files = _write(export, out)
    typer.echo(
        f"{counted(export.n_records, 'record')} as {target.title} in {out}/ "
        f"({counted(n_files, 'file')})."
    )
    if failed:
        typer.echo(
            f"{counted(len(failed), 'series', 'series')} without a result not exported, as "
            f"{failed[0]}.",
            err=True,
        )
        raise typer.Exit(1)


def list_formats() -> None:
    """List the formats of other tools, and what each of them cannot hold."""
    from tsloop.annotations.formats.losses import what_is_lost
    from tsloop.annotations.formats.registry import all_formats

    for item in all_formats():
        typer.echo(f"{item.name}: {item.title}")
        typer.echo(f"  cannot hold {', '.join(what_is_lost(item.holds))}")


def _records(
    context: LabelContext, source: str, predictions: str, original_labels: bool
) -> tuple[list[AnnotationRecord], LabelSet, list[str]]:
    """Records in rows of the stored series with their label set; failed detections and why."""
    from tsloop.annotations.fitting import fit_record, stored_series
    from tsloop.annotations.formats.exporting import with_original_labels
    from tsloop.annotations.journal import latest, read_journal
    from tsloop.api import AnnotationAdapter
    from tsloop.loop.detection_records import detection_records
    from tsloop.names import counted

    project, store, label_set = context.project, context.store, context.label_set
    if project is None or store is None:
        return [], label_set, []
    if predictions:
        found, failed = detection_records(project, predictions, store, label_set)
        return found, label_set, failed
    if Path(source).is_file():
        records = list(latest(read_journal(Path(source))).values())
    else:
        records = AnnotationAdapter(project).export_records(source)
    if original_labels:  # before overlapping intervals of one label are joined
        records, label_set = with_original_labels(records, label_set)
    fitted = [fit_record(r, stored_series(r, store), label_set) for r in records]
    merged = sum(len(item.merged) for item in fitted)
    if merged:
        typer.echo(f"Joined: {counted(merged, 'interval')} that overlapped within one label.")
    return [item.record for item in fitted], label_set, []


def _say_losses(export: Export, name: str) -> None:
    for loss in export.losses:
        kind = "lost" if loss.substance else "left out"
        typer.echo(f"  {kind}: {loss}", err=loss.substance)
    if not export.left_out:
        return
    typer.echo(f"  {name} can say nothing of {len(export.left_out)} series:", err=True)
    for series_id, why in list(export.left_out.items())[:_SHOWN]:
        typer.echo(f"    {series_id}: {why}", err=True)
    if len(export.left_out) > _SHOWN:
        typer.echo(f"    … and {len(export.left_out) - _SHOWN} more", err=True)


def _write(export: Export, out: Path) -> int:
    """All files, or none where one cannot be made; returns how many."""
    from tsloop.errors import AnnotationError
    from tsloop.files import write_bytes_atomic

    out.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    with tempfile.TemporaryDirectory(dir=out, prefix=".export-") as temporary:
        place = Path(temporary)
        for name, data in export.files:
            target = out / name
            if target.exists() and target.read_bytes() != data:
                raise AnnotationError(
                    f"{target} is there already, with other content.",
                    hint="Choose an empty folder.",
                )
            write_bytes_atomic(place / name, data)
            made.append(Path(name))
        for path in made:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).replace(out / path)
    return len(made)
