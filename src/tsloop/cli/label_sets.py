"""``tsloop labels set``: a label set of another tool compared with ours, and made one of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["label_set"]


def label_set(
    file: Annotated[Path, typer.Argument(help="A labels.json of the annotator, or a label set.")],
    out: Annotated[
        Path | None, typer.Option(help="Write it as a label set of ours, for labels.set=FILE.")
    ] = None,
    set_id: Annotated[str, typer.Option("--id", help="Id of the new label set.")] = "plant",
    version: Annotated[int, typer.Option(help="Its version: a changed set gets a new one.")] = 1,
) -> None:
    """Say where a label set differs from the project's, and write it in our form.

    Imported labels keep their kinds where the project uses the set that they speak; otherwise a
    mapping leads them to other kinds.
    """
    from tsloop.annotations.formats.labels_json import (
        differences,
        is_labels_json,
        read_labels_json,
        to_dict,
    )
    from tsloop.annotations.formats.source import Source
    from tsloop.cli.label_context import context_here
    from tsloop.errors import LabelSetError
    from tsloop.files import write_json
    from tsloop.labels import load_label_set
    from tsloop.names import counted

    source = Source.open(file)
    models: list[str] = []
    if is_labels_json(source.json):
        theirs, models = read_labels_json(source, set_id, version)
    else:
        theirs = load_label_set(file)
    ours = context_here(needs_project=False).label_set
    if out is not None and out.exists():
        raise LabelSetError(f"{out} is there already.", hint="A changed set gets a new file.")
    typer.echo(
        f"{file}: {counted(len(theirs.labels), 'label')}, "
        f"{counted(len(theirs.attributes), 'attribute')}."
    )
    if models:
        typer.echo(f"Names of models, which are no labels: {', '.join(models)}.")
    found = differences(ours, theirs)
    typer.echo(f"{counted(len(found), 'difference')} to {ours.ref}" + (":" if found else "."))
    for drift in found:
        typer.echo(f"  {drift}")
    if out is not None:
        write_json(out, to_dict(theirs))
        typer.echo(f"Wrote {theirs.ref} to {out}. Use it with: tsloop configure labels.set={out}")
