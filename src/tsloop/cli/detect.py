"""``tsloop detect``: label new data at once."""

from __future__ import annotations

import csv
import io
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsloop.cli.reading import (
    DATA_HELP,
    SET_HELP,
    ZONE_HELP,
    reading_here,
    say_faults,
    say_repairs,
    with_option,
)

if TYPE_CHECKING:
    from tsloop.loop.batch import Batch
    from tsloop.project import Project

__all__ = ["SUMMARY_COLUMNS", "detect"]

SUMMARY_COLUMNS = (
    *("series_id", "status", "n_events", "n_rows", "highest_score", "level", "reason"),
)


def detect(
    data: Annotated[Path, typer.Argument(help=DATA_HELP)],
    model: Annotated[
        str,
        typer.Option(
            help="Model directory, ITERATION/VARIANT, or ITERATION for its primary variant; "
            "default: the champion."
        ),
    ] = "",
    out: Annotated[Path, typer.Option(help="Where results and pictures go.")] = Path("detections"),
    pictures: Annotated[bool, typer.Option(help="Draw a PNG per series.")] = True,
    contrast: Annotated[
        bool,
        typer.Option(
            "--contrast",
            help="Add a column with how far each segment stands out from the rows beside it (about "
            "1 to 100; no confidence).",
        ),
    ] = False,
    zone: Annotated[str, typer.Option(help=ZONE_HELP)] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=SET_HELP)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes that read and score at once.")] = 1,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune",
            help="Remove what earlier runs wrote to OUT of series that are not in DATA; nothing "
            "while a file of DATA cannot be read.",
        ),
    ] = False,
) -> None:
    """Find anomalies in new data; writes detections.csv, summary.csv and a picture per series.

    A series that cannot be read or scored is a row with its reason, and makes the exit code 1.
    Run again after an interruption, it goes on: results of the same model, settings and file are
    kept in OUT/results, also those of series that are not in DATA (see --prune).
    """
    from tsloop.execution.progress import stage_progress
    from tsloop.loop.batch import BatchJob, batch_key, run_batch
    from tsloop.loop.inference import NewData
    from tsloop.series.validate import Repair
    from tsloop.tracking.serving import OUTPUT_COLUMNS

    how = reading_here(zone, settings or ())
    new_data = NewData(data, how)
    directory, said = _model(model)
    typer.echo(said)
    out.mkdir(parents=True, exist_ok=True)
    files = _picture_names(new_data.names) if pictures else {}
    job = BatchJob(directory, out, batch_key(directory, how, contrast), files, contrast)
    with stage_progress("detect") as progress:
        began = time.monotonic()
        batch = run_batch(new_data, job, jobs, progress, prune=prune)
        seconds = time.monotonic() - began
    results = [_with_options(result) for result in batch.results.values()]
    columns = (*OUTPUT_COLUMNS, "contrast") if contrast else OUTPUT_COLUMNS
    _write_table(out / "detections.csv", columns, [r for x in results for r in x["rows"]])
    _write_table(out / "summary.csv", SUMMARY_COLUMNS, map(_summary, results))
    _say_found([row for result in results for row in result["rows"]])
    _say_counts(results, batch.n_before, seconds)
    _say_gone(batch, data, new_data.refused if prune else ())
    typer.echo(
        f"{out / 'detections.csv'}, {out / 'summary.csv'}" + f", pictures in {out}/" * pictures
    )
    say_repairs([Repair(**repair) for result in results for repair in result["repairs"]])
    faults = [(r["series_id"], r["reason"]) for r in results if r["status"] == "failed"]
    say_faults(faults, len(new_data), str(out / "summary.csv"))


def _with_options(result: dict[str, Any]) -> dict[str, Any]:
    """A failed result whose reason names the option of this command that mends it."""
    if result["status"] != "failed":
        return result
    reason = with_option(result["reason"])
    return {**result, "reason": reason, "rows": [{**r, "reason": reason} for r in result["rows"]]}


def _summary(result: dict[str, Any]) -> dict[str, Any]:
    events = sum(row["start"] is not None for row in result["rows"])
    return {**{key: result.get(key) for key in SUMMARY_COLUMNS}, "n_events": events}


def _say_gone(batch: Batch, data: Path, unread: Sequence[str]) -> None:
    """What is in OUT beside the results of this run; ``unread`` are what kept it from pruning."""
    from tsloop.names import counted

    if not batch.n_gone:
        return
    what = f"results and pictures of {counted(batch.n_gone, 'series', 'series')} of earlier runs"
    if batch.pruned:
        typer.echo(f"Removed the {what}: not in {data}.")
    elif unread:
        files = counted(len(unread), "file")
        typer.echo(
            f"Kept the {what}: {files} of {data} cannot be read (first: {unread[0]}), and may "
            "hold them. Mend that, then --prune."
        )
    else:
        typer.echo(f"Kept the {what} that this one did not find in {data}: --prune removes them.")


def _say_counts(results: Sequence[dict[str, Any]], n_before: int, seconds: float) -> None:
    from tsloop.names import counted

    count = Counter(result["status"] for result in results)
    events = sum(_summary(result)["n_events"] for result in results)
    n_new = len(results) - n_before
    pace = f", {n_new / seconds:.1f} series/s" if n_new > 1 and seconds > 0 else ""
    before = f"; {n_before} were done before" if n_before else ""
    typer.echo(
        f"{counted(len(results), 'series', 'series')}: {count['ok']} with "
        f"{counted(events, 'event')}, {count['none']} without, {count['failed']} failed "
        f"({seconds:.1f} s{pace}{before})"
    )


def _picture_names(series_ids: Sequence[str]) -> dict[str, str]:
    """A file name for each id: the id itself where it is one; no two alike on any disk."""
    from tsloop.series.tables import file_stem

    plain = {name: re.sub(r"[^\w.-]+", "_", name) for name in series_ids}
    count = Counter(name.casefold() for name in plain.values())
    unique = {name for name in plain.values() if count[name.casefold()] == 1 and _fits(name)}
    return {
        series_id: f"{name if name in unique else file_stem(series_id)}.png"
        for series_id, name in plain.items()
    }


def _fits(name: str) -> bool:
    return bool(name.strip("._-")) and not name.startswith(".") and len(name.encode()) <= 200


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    from tsloop.files import write_text_atomic

    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(path, text.getvalue())


def _say_found(rows: list[dict[str, object]]) -> None:
    shown = [row for row in rows if row["status"] != "failed"]
    for row in shown[:20]:
        typer.echo(_line(row))
    if len(shown) > 20:
        typer.echo(f"… and {len(shown) - 20} more")


def _line(row: dict[str, object]) -> str:
    if row["status"] != "ok":
        return f"{row['series_id']}: {row['status']} {row['reason'] or ''}".rstrip()
    span = f"{row['t_start']} … {row['t_end']}"
    return f"{row['series_id']}: {span}  {row['label']}  {row['reason'] or ''}".rstrip()


def _model(model: str) -> tuple[Path | None, str]:
    """The directory of the model to use (``None``: the embedded base), and a sentence on it."""
    from tsloop.errors import DetectorError, ProjectError
    from tsloop.project import find_project
    from tsloop.tracking.promotions import champion_model

    if model and Path(model).is_dir():
        return Path(model), f"Model: {model}"
    try:
        project = find_project()
    except ProjectError:
        project = None
    if model:
        if project is None:
            raise DetectorError(f"There is no model {model!r} here.", hint="Give a directory.")
        key = _model_key(project, model)
        return project.model(*key.split("/", 1)), f"Model: {key}"
    served = champion_model(project.root) if project else None
    if served is None:
        return None, "No champion yet: using the embedded base, which no label has taught."
    promotion, directory = served
    return directory, f"Model: {promotion.to}, the champion (promoted {promotion.time})"


def _model_key(project: Project, model: str) -> str:
    """``ITERATION/VARIANT`` of what was asked for; the primary variant where none is named."""
    from tsloop.api import ModelAdapter
    from tsloop.config.params import read_iterations, read_params
    from tsloop.errors import DetectorError
    from tsloop.project import BASE
    from tsloop.tracking.promotions import published_iteration

    iteration, _, variant = model.partition("/")
    if iteration != BASE and iteration not in read_iterations(project):
        known = ", ".join(ModelAdapter(project).registered())
        raise DetectorError(
            f"There is no iteration {iteration!r}, and no model directory of that name.",
            hint=f"Give ITERATION/VARIANT: {known}." if known else "Nothing is published yet.",
        )
    if variant:
        return model
    if iteration == BASE:
        return f"{BASE}/{read_params(project)['loop']['primary']}"
    return f"{iteration}/{published_iteration(project.root, iteration).primary}"
