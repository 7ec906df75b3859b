"""The ``tsloop`` command: its verbs and how errors are shown."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from tsloop import __version__
from tsloop.cli import (
    detect,
    garbage,
    importing,
    iteration,
    jobs,
    labels,
    registry,
    review,
    series,
    source,
)
from tsloop.errors import TsloopError
from tsloop.offline import work_offline

__all__ = ["app", "main"]

app = typer.Typer(
    name="tsloop",
    help="Label, fine-tune, detect, review, repeat: the anomaly-detection loop for time series.",
    epilog="Sweeps: python -m tsloop.sweep -m detector=knn,boosting (docs/sweeps.md)",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(iteration.app, name="iteration")
app.add_typer(jobs.app, name="jobs")
app.add_typer(labels.app, name="labels")
app.add_typer(registry.tracking_app, name="tracking")
app.add_typer(review.app, name="review")
app.add_typer(series.app, name="series")
app.add_typer(source.app, name="source")
app.command("detect")(detect.detect)
app.command("gc")(garbage.gc)
app.command("import")(importing.import_)
app.command("promote")(registry.promote)
app.command("rollback")(registry.rollback)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"tsloop {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="New or empty directory.")],
    name: Annotated[str, typer.Option(help="Project name; default: the directory's.")] = "",
) -> None:
    """Make a new project: dvc.yaml, params.yaml, conf, data, models, registry."""
    from tsloop.config.params import configure as write_params
    from tsloop.names import MAX_LENGTH, check_name
    from tsloop.project import Project
    from tsloop.template import create_project

    fallback = re.sub(r"\W+", "-", directory.resolve().name).strip("-_")[:MAX_LENGTH] or "project"
    chosen = check_name(name or fallback, "--name")
    written = create_project(directory)
    write_params(Project(directory), [f"project.name='{chosen}'"])
    typer.echo(f"Made {directory} with {len(written)} files. Next:")
    typer.echo(f"  cd {directory}")
    typer.echo(
        "  tsloop configure source=folder source.path=YOUR_DATA source.zone=Asia/Shanghai \\"
    )
    typer.echo("      annotator=human")
    typer.echo("  dvc repro                # reads the series, ranks what to label first")
    typer.echo(
        "source.zone is the zone of stamps that name none; annotator=simulated (the default)"
    )
    typer.echo("needs a source that knows the truth, such as the simulated plant.")


@app.command()
def configure(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            help="Hydra overrides: group=choice, key=value, +detector@variants.NAME=choice, ~… "
            "With --show: sections or variants whose keys are listed, as finetune or variants.knn."
        ),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Forget all stored choices.")] = False,
    show: Annotated[
        bool, typer.Option("--show", help="List groups and what is chosen; change nothing.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print every value that changes.")
    ] = False,
) -> None:
    """Choose settings; writes params.yaml, which dvc repro reads."""
    from tsloop.config.params import configure as write_params
    from tsloop.config.show import describe_choices, describe_keys, summarise_changes
    from tsloop.execution.dvc_lock import exclusive_project
    from tsloop.loop.source_news import source_news
    from tsloop.names import counted
    from tsloop.project import find_project

    project = find_project()
    if show:
        parts = [describe_keys(project, name) for name in overrides or ()]
        typer.echo("\n".join(parts or [describe_choices(project)]))
        return
    with exclusive_project(project.root, "tsloop configure"):
        changed = write_params(project, overrides or [], reset=reset)
    for line in changed if verbose else summarise_changes(changed):
        typer.echo(f"  {line}")
    typer.echo(
        f"params.yaml: {counted(len(changed), 'value')} changed." if changed else "Nothing changed."
    )
    if news := source_news(project):
        typer.echo(f"Attention: {news}", err=True)


@app.command()
def status() -> None:
    """Where the loop stands: iterations, their state, what to do next."""
    from tsloop.cli.status import show_status
    from tsloop.project import find_project

    show_status(find_project())


@app.command()
def repro(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Stages, as fit@it003-chatts.")
    ] = None,
) -> None:
    """`dvc repro` with this environment, one at a time per project."""
    from tsloop.loop.manager import IterationManager
    from tsloop.loop.source_news import source_news
    from tsloop.project import find_project

    project = find_project()
    if not targets and (news := source_news(project)):
        typer.echo(f"Attention: {news}", err=True)
    IterationManager(project).repro(targets or [])


@app.command()
def demo() -> None:
    """Run the loop of this project from end to end and show what came of it."""
    from tsloop.cli.demo import run_demo
    from tsloop.project import find_project

    run_demo(find_project())


def main() -> None:
    """Entry point: user errors end in one message and exit code 1, never a traceback."""
    work_offline()
    try:
        app()
    except BrokenPipeError:
        raise SystemExit(0) from None
    except (TsloopError, OSError) as error:
        sys.stderr.write(f"tsloop: {error}\n")
        raise SystemExit(1) from None
