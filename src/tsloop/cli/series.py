"""``tsloop series``: series of a project as files for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Series of the project.", no_args_is_help=True)


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="Folder for the files; made where it is missing.")],
    series: Annotated[
        list[str] | None, typer.Option("--series", help="Id to export; may be repeated. All.")
    ] = None,
    points: Annotated[
        int, typer.Option(help="About so many rows each, chosen by M4; 0: every row.")
    ] = 5000,
    layout: Annotated[
        str, typer.Option(help="legacy: date,value in local time; rows: row_idx,timestamp,value.")
    ] = "legacy",
    pictures: Annotated[bool, typer.Option(help="Draw a JPEG beside each file.")] = False,
) -> None:
    """Write series as CSV, and as pictures, the way the annotation tools before tsloop did.

    Times are the true ones. An empty value is a gap. Reads data/series.
    """
    from tsloop.execution.progress import stage_progress
    from tsloop.names import counted
    from tsloop.project import find_project
    from tsloop.report.series_files import SeriesFiles
    from tsloop.series.store import SeriesStore

    store = SeriesStore.open(find_project().series)
    names = list(series or store.ids())
    files = SeriesFiles(out, points, layout, pictures, [store.entry(name) for name in names])
    with stage_progress("export") as progress:
        for done, name in enumerate(names):
            progress(done, len(names), name)
            files.write(store[name])
        progress(len(names), len(names), "done")
    typer.echo(f"{counted(len(names), 'series', 'series')} in {out}")
