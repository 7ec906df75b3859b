"""``tsloop source``: what the source of a project holds, before it is read."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Look at where series come from.", no_args_is_help=True)


@app.command("list")
def list_series(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="As for tsloop configure, for this call alone: source=iotdb …"),
    ] = None,
) -> None:
    """Print the ids of the series that the source has, one a line; nothing is read or stored."""
    import contextlib

    from tsloop.config.params import read_params, tried
    from tsloop.config.schema import source_config
    from tsloop.names import counted
    from tsloop.project import find_project
    from tsloop.sources import build

    project = find_project()
    params = tried(project, overrides) if overrides else read_params(project)
    kind, config = source_config(params["source"])
    with contextlib.chdir(project.root):
        source = build(kind, config)
        try:
            names = source.list()
        finally:
            source.close()
    for name in names:
        typer.echo(name)
    typer.echo(f"{counted(len(names), 'series', 'series')} in source={kind}", err=True)
