"""``tsloop labels``: what people do with labels beside writing journals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Work with labels.", no_args_is_help=True)
gold = typer.Typer(help="Gold: labels that are only ever scored against.", no_args_is_help=True)
app.add_typer(gold, name="gold")


@gold.command()
def add(
    file: Annotated[Path, typer.Argument(help="Journal with the records, one a line.")],
) -> None:
    """Append records to data/labels/gold.jsonl, all of them or none."""
    from tsloop.config.params import read_iterations, read_params
    from tsloop.config.schema import section
    from tsloop.execution.guard import project_lock
    from tsloop.labels import builtin_label_set, load_label_set
    from tsloop.loop.gold import add_gold
    from tsloop.project import find_project
    from tsloop.series.store import SeriesStore

    project = find_project()
    chosen = section(read_params(project), "labels").set
    label_set = builtin_label_set() if chosen == "tsloop" else load_label_set(project.root / chosen)
    with project_lock(project.root, "tsloop labels gold add"):
        store = SeriesStore.open(project.series)
        now, added = add_gold(project, file, read_iterations(project), store, label_set)
    typer.echo(
        f"Added {added} records: gold has {len(now.records)} series and is of version "
        f"{now.version}. {'Next: dvc repro' if added else 'Nothing changed.'}"
    )
