"""``tsloop gc``: free the space that old iterations take."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

__all__ = ["gc"]


def gc(
    keep: Annotated[
        int, typer.Option(min=0, help="How many of the newest iterations keep their weights.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    cache: Annotated[
        bool,
        typer.Option("--cache", help="Where nothing is left to delete, free DVC's cache too."),
    ] = False,
) -> None:
    """Delete weights, predictions and datasets of older, archived iterations.

    Labels, snapshots and reports stay; so do live iterations and what they build on, the
    challenger's, and every one that was ever champion.
    """
    from tsloop.loop.garbage import CACHE_SCOPE, collect_cache, collect_garbage, find_garbage
    from tsloop.names import counted
    from tsloop.project import find_project

    project = find_project()
    found = find_garbage(project, keep)
    for name, why in found.kept.items():
        typer.echo(f"stays: {name}, because {why}")
    if any("it is live, so" in why for why in found.kept.values()):
        typer.echo("Archive live ones first: tsloop iteration archive --keep N")
    size = f"{found.size / 1e6:.1f} MB"
    for path in found.directories:
        typer.echo(f"{'would delete' if dry_run else 'delete'}: {project.relative(path)}")
    number = counted(len(found.directories), "directory", "directories")
    typer.echo(f"{number}, {size}." if found.directories else "Nothing to delete.")
    command = " ".join(["dvc gc", *CACHE_SCOPE])
    if dry_run:
        if cache:
            typer.echo(f"would run: {command}")
        return
    if found.directories:
        if sys.stdin.isatty() and not yes:
            typer.confirm("Delete them?", abort=True)
        collect_garbage(project, keep)
        typer.echo("Deleted. Commit the change of archive/.")
        typer.echo(f"DVC's cache still has them; after the commit, free it with: {command}")
    elif cache:
        collect_cache(project)
