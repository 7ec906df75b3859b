"""``tsloop jobs``: what runs in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tsloop.execution import Executor

__all__ = ["app"]

app = typer.Typer(help="Background jobs: list, log, cancel, prune.", no_args_is_help=True)


def _executor() -> Executor:
    from tsloop.config.params import read_params
    from tsloop.config.schema import section
    from tsloop.execution import build_executor
    from tsloop.project import find_project

    project = find_project()
    return build_executor(project.root, section(read_params(project), "executor"))


@app.command("list")
def list_() -> None:
    """All jobs, newest last."""
    for job in _executor().list():
        progress = job.progress or {}
        what = f"{progress.get('what', '')} {progress.get('done', '')}/{progress.get('total', '')}"
        shown = what.strip(" /") if progress else job.reason
        typer.echo(f"{job.id}  {job.state:<10} {job.name}  {shown}".rstrip())


@app.command()
def log(
    job: Annotated[str, typer.Argument(help="Job id.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for more.")] = False,
) -> None:
    """Print a job's output."""
    executor = _executor()
    for piece in executor.follow(job) if follow else [executor.logs(job)]:
        typer.echo(piece, nl=False)


@app.command()
def prune(
    keep: Annotated[int, typer.Option(min=0, help="How many of the newest stay.")] = 20,
) -> None:
    """Forget old finished jobs and their logs."""
    from tsloop.names import counted

    forgotten = _executor().prune(keep)
    typer.echo(f"Forgot {counted(len(forgotten), 'job')}.")


@app.command()
def cancel(job: Annotated[str, typer.Argument(help="Job id.")]) -> None:
    """Stop a job and everything it started."""
    typer.echo(f"{job}: {_executor().cancel(job).state}")
