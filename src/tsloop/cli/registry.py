"""``tsloop tracking``, ``tsloop promote``, ``tsloop rollback``: MLflow and the champion."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["promote", "rollback", "tracking_app"]

tracking_app = typer.Typer(help="MLflow: synchronise it with the project, open it.", no_args_is_help=True)


@tracking_app.command()
def sync() -> None:
    """Make MLflow match what git and DVC hold; safe to repeat, restores a lost store."""
    from tsloop.config.params import read_params
    from tsloop.config.schema import section
    from tsloop.project import find_project
    from tsloop.tracking.sync import sync as synchronise

    project = find_project()
    params = read_params(project)
    report = synchronise(
        project.root, section(params, "tracking"), project_name=params["project"]["name"]
    )
    typer.echo(str(report))


@tracking_app.command()
def ui(port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000) -> None:
    """Open the MLflow page of this project on 127.0.0.1."""
    import os
    import subprocess
    import sys

    from tsloop.config.params import read_params
    from tsloop.config.schema import section
    from tsloop.project import find_project
    from tsloop.tracking.config import store_uri

    project = find_project()
    uri = store_uri(project.root, section(read_params(project), "tracking"))
    typer.echo(f"http://127.0.0.1:{port}  (Ctrl-C ends it; store {uri})")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    raise SystemExit(
        subprocess.run(
            [*command, "--workers", "1", "--backend-store-uri", uri], env=environment, check=False
        ).returncode
    )


def promote(
    model: Annotated[str, typer.Argument(help="ITERATION or ITERATION/VARIANT, as it003/chatts.")],
    force: Annotated[bool, typer.Option("--force", help="Promote against the gate.")] = False,
    reason: Annotated[str, typer.Option(help="Why; needed with --force.")] = "",
    if_win: Annotated[
        bool, typer.Option("--if-win", help="Exit quietly where the gate does not say win.")
    ] = False,
) -> None:
    """Make a published model the champion, if it beats the present one on gold."""
    from tsloop.errors import PromotionError
    from tsloop.loop.promotion import promote_model
    from tsloop.project import find_project

    try:
        typer.echo(promote_model(find_project(), model, force=force, reason=reason))
    except PromotionError as error:
        if not if_win:
            raise
        typer.echo(f"Not promoted: {error}")


def rollback(reason: Annotated[str, typer.Option(help="Why, for the history.")] = "") -> None:
    """Make the previous champion the champion again."""
    from tsloop.loop.promotion import rollback_model
    from tsloop.project import find_project

    typer.echo(rollback_model(find_project(), reason=reason))
