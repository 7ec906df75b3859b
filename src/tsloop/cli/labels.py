"""``tsloop labels``: what people do with labels beside writing journals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tsloop.cli import label_checks, label_export, label_import, label_sets

__all__ = ["app"]

app = typer.Typer(help="Work with labels.", no_args_is_help=True)
gold = typer.Typer(help="Gold: labels that are only ever scored against.", no_args_is_help=True)
app.add_typer(gold, name="gold")
app.command("import")(label_import.import_labels)
app.command("export")(label_export.export_labels)
app.command("formats")(label_export.list_formats)
app.command("set")(label_sets.label_set)
for _command in (label_checks.check, label_checks.suspects, label_checks.agreement):
    app.command()(_command)


@app.command()
def template(
    iteration: Annotated[str, typer.Argument(help="Iteration to label, as it001.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Where it goes; default: data/labels/ITERATION.draft.jsonl; -: print."),
    ] = None,
    author: Annotated[str, typer.Option(help="Who labels; stands in every record.")] = "",
) -> None:
    """Write what to label for an iteration as a draft of its journal, to be edited.

    One line per series of the queue, with the model's proposal. A journal takes a line only once
    its key "draft" is deleted; no anomaly is "result": "none", "intervals": [].
    """
    import json

    from tsloop.api import AnnotationAdapter
    from tsloop.errors import AnnotationError
    from tsloop.files import write_text_atomic
    from tsloop.names import counted
    from tsloop.project import find_project

    project = find_project()
    journal = project.labels(iteration)
    rows = AnnotationAdapter(project).draft(iteration, author)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if out == Path("-"):
        typer.echo(text, nl=False)
        return
    path = out or journal.with_name(f"{iteration}.draft.jsonl")
    if path.exists():
        raise AnnotationError(
            f"{path} is there already.", hint="Move it away, or choose another --out FILE."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(path, text)
    shown = project.relative(path) if out is None else str(path)
    typer.echo(
        f"{counted(len(rows), 'series', 'series')} to label in {shown}. In each line that you"
    )
    typer.echo('looked at, correct result and intervals and delete the key "draft"; delete the')
    typer.echo(f"other lines. Then save it as {project.relative(journal)} and run:")
    typer.echo("  tsloop configure && dvc repro")


@gold.command()
def add(
    file: Annotated[Path, typer.Argument(help="Journal with the records, one a line.")],
    blind_by: Annotated[
        str,
        typer.Option(help="Who states that imported records were labelled without proposals."),
    ] = "",
) -> None:
    """Append records to data/labels/gold.jsonl, all of them or none.

    Records that came from files of other tools need --blind-by, unless the file said that
    people drew them.
    """
    from tsloop.config.params import read_iterations, read_params
    from tsloop.config.schema import section
    from tsloop.execution.guard import project_lock
    from tsloop.labels import builtin_label_set, load_label_set
    from tsloop.loop.gold import add_gold
    from tsloop.names import counted
    from tsloop.project import find_project
    from tsloop.series.store import SeriesStore

    project = find_project()
    chosen = section(read_params(project), "labels").set
    label_set = builtin_label_set() if chosen == "tsloop" else load_label_set(project.root / chosen)
    with project_lock(project.root, "tsloop labels gold add"):
        store = SeriesStore.open(project.series)
        now, added = add_gold(project, file, read_iterations(project), store, label_set, blind_by)
    typer.echo(
        f"Added {counted(added, 'record')}: gold has {len(now.records)} series and is of version "
        f"{now.version}. {'Next: dvc repro' if added else 'Nothing changed.'}"
    )
