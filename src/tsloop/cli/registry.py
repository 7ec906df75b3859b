"""``tsloop tracking``, ``tsloop promote``, ``tsloop rollback``: MLflow and the champion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tsloop.project import Project

__all__ = ["promote", "rollback", "sync", "sync_project", "tracking_app", "ui"]

tracking_app = typer.Typer(
    help="MLflow: synchronise it with the project, open it.", no_args_is_help=True
)


@tracking_app.command()
def sync(
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Throw the project's SQLite store away first.")
    ] = False,
) -> None:
    """Make MLflow match what git and DVC hold; safe to repeat, restores a lost store."""
    from tsloop.project import find_project

    sync_project(find_project(), rebuild=rebuild)


def sync_project(project: Project, *, rebuild: bool = False) -> None:
    """Synchronise and say what was done."""
    from tsloop.config.params import read_params
    from tsloop.config.schema import section
    from tsloop.execution.progress import stage_progress
    from tsloop.tracking.sync import sync as synchronise

    params = read_params(project)
    report = synchronise(
        project.root,
        section(params, "tracking"),
        project_name=params["project"]["name"],
        rebuild=rebuild,
        progress=stage_progress("mlflow"),
    )
    typer.echo(str(report))


@tracking_app.command()
def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000) -> None:
    """Open the MLflow page of this project on 127.0.0.1; ends with the command."""
    from tsloop.cli.mlflow_ui import serve
    from tsloop.project import find_project

    raise typer.Exit(serve(find_project(), port))


def promote(
    model: Annotated[
        str,
        typer.Argument(help="ITERATION/VARIANT, as it003/chatts; ITERATION: its primary variant."),
    ],
    force: Annotated[bool, typer.Option("--force", help="Promote against the gate.")] = False,
    reason: Annotated[str, typer.Option(help="Why; needed with --force.")] = "",
    if_win: Annotated[
        bool,
        typer.Option(
            "--if-win",
            help="No error where the gate does not say win, or the model is champion already.",
        ),
    ] = False,
) -> None:
    """Make a published model the champion, if it beats the present one on gold."""
    from tsloop.config.params import read_params
    from tsloop.config.schema import section
    from tsloop.errors import AlreadyChampionError, NoWinError
    from tsloop.project import find_project
    from tsloop.tracking.promotions import promote as make_champion
    from tsloop.tracking.promotions import published_iteration

    project = find_project()
    iteration, _, variant = model.partition("/")
    try:
        if not variant:
            published = published_iteration(project.root, iteration)
            variant = published.primary
            if published.best_on_gold not in ("", variant):
                typer.echo(
                    f"{iteration} stands for its primary variant {variant}. On gold "
                    f"{published.best_on_gold} was best, but gold does not choose."
                )
        gate = section(read_params(project), "gate")
        entry = make_champion(
            project.root, iteration, variant, gate=gate, force=force, reason=reason
        )
        typer.echo(str(entry))
    except (NoWinError, AlreadyChampionError) as error:
        if not if_win:
            raise
        typer.echo(f"Not promoted: {error}")
    _follow(project)


def rollback(reason: Annotated[str, typer.Option(help="Why, for the history.")] = "") -> None:
    """Make the previous champion the champion again."""
    from tsloop.project import find_project
    from tsloop.tracking.promotions import rollback as go_back

    project = find_project()
    typer.echo(str(go_back(project.root, reason=reason)))
    _follow(project)


def _follow(project: Project) -> None:
    """Bring MLflow after the registry; where it cannot follow, what was decided stands."""
    from tsloop.errors import TrackingError

    try:
        sync_project(project)
    except TrackingError as error:
        typer.echo(
            f"That stands and is served. MLflow does not show it yet: {error}\n"
            "Repeat later: tsloop tracking sync",
            err=True,
        )
