"""``tsloop review``: the page on which people correct pre-annotations, and what belongs to it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tsloop.review.service import ReviewService

__all__ = ["app"]

app = typer.Typer(help="Review pre-annotations in the browser.", invoke_without_command=True)


@contextlib.contextmanager
def _service(directory: Path | None = None) -> Iterator[ReviewService]:
    from tsloop.project import find_project
    from tsloop.review.service import ReviewService

    service = ReviewService(find_project(directory))
    try:
        yield service
    finally:
        service.close()


@app.callback()
def review(
    context: typer.Context,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Default: the first free one from 8642.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to bind; off this machine everybody needs a token.")
    ] = "127.0.0.1",
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
    require_tokens: Annotated[
        bool,
        typer.Option("--require-tokens", help="Ask everybody for a token: for use behind a proxy."),
    ] = False,
    demo: Annotated[
        bool, typer.Option("--demo", help="Open a small project of its own, in ./tsloop-demo.")
    ] = False,
) -> None:
    """Open the review page of this project."""
    if context.invoked_subcommand is not None:
        return
    from tsloop.review.serve import serve

    directory = None
    if demo:
        from tsloop.cli.review_demo import demo_project

        directory = demo_project(Path.cwd() / "tsloop-demo")
    with _service(directory) as service:
        done = service.refresh()
        if done["iteration"] is None:
            typer.echo(
                "Attention: no iteration waits for labels. Make one: tsloop iteration create; its "
                "queue comes with `dvc repro`."
            )
        else:
            typer.echo(_waiting(service, done["iteration"]))
        serve(
            service,
            host=host,
            port=port,
            browser=not no_browser,
            require_tokens=require_tokens,
            say=typer.echo,
        )


def _waiting(service: ReviewService, iteration: str) -> str:
    from tsloop.review.listing import count_states, to_review

    return to_review(iteration, count_states(service.database, iteration))


@app.command()
def finish(
    iteration: Annotated[str, typer.Argument(help="Iteration, as it002.")],
    allow_open: Annotated[
        bool, typer.Option("--allow-open", help="Leave out what is not reviewed yet.")
    ] = False,
    repro: Annotated[
        bool, typer.Option("--repro", help="Run `dvc repro` afterwards, here.")
    ] = False,
) -> None:
    """Write data/labels/ITERATION.jsonl from what was decided, and open the iteration's stages."""
    from tsloop.loop.manager import IterationManager
    from tsloop.names import counted

    with _service() as service:
        done = service.finish(service.owner(), iteration, allow_open=allow_open)
        project = service.project
    what = counted(done["records"], "series", "series")
    typer.echo(f"{done['journal']}: {what}, {done['new_records']} new.")
    if done["second_records"]:
        typer.echo(f"{counted(done['second_records'], 'second reading')} beside it.")
    if done["gold_records"]:
        typer.echo(f"{counted(done['gold_records'], 'record')} added to gold.")
    if done["planted_removed"]:
        said = counted(done["planted_removed"], "planted wrong proposal")
        typer.echo(f"Left out: {said} that somebody accepted.")
    left = {state: n for state, n in done["left_out"].items() if n}
    if left:
        typer.echo(f"Left out: {', '.join(f'{n} {state}' for state, n in left.items())}.")
    if repro:
        IterationManager(project).repro()
        return
    typer.echo("Next: dvc repro")


@app.command("import")
def import_(
    iteration: Annotated[str, typer.Argument(help="Iteration; default: the open one.")] = "",
) -> None:
    """Take in queue and pre-annotations (the page does so by itself); never over people's work."""
    with _service() as service:
        done = service.refresh(iteration or None)
    if done["iteration"] is None:
        typer.echo("No iteration waits for labels.")
        return
    typer.echo(
        f"{done['iteration']}: {done['items']} items, {done['new']} new, {done['refreshed']} "
        f"refreshed, {done['kept']} kept."
    )


@app.command()
def export(
    out: Annotated[Path, typer.Argument(help="File for JSON lines; -: print.")] = Path("-"),
    iteration: Annotated[str, typer.Option(help="Only this one; default: all.")] = "",
) -> None:
    """Write every decision ever made, one revision a line."""
    from tsloop.files import write_text_atomic
    from tsloop.names import counted
    from tsloop.review.backup import export_lines

    with _service() as service:
        lines = list(export_lines(service.database, iteration or None))
    if out == Path("-"):
        typer.echo("".join(lines), nl=False)
        return
    write_text_atomic(out, "".join(lines))
    typer.echo(f"Wrote {counted(len(lines), 'revision')} to {out}.")


@app.command()
def backup(
    directory: Annotated[
        Path | None, typer.Argument(help="Default: .tsloop/backups of the project.")
    ] = None,
) -> None:
    """Copy the whole store, also while people save; the newest review.keep_backups stay."""
    from tsloop.review.backup import backup as make

    with _service() as service:
        place = directory or service.project.local / "backups"
        done = make(service.database, place, service.material.config.keep_backups)
    typer.echo(f"{done['path']}: {done['bytes']} bytes, sha256 {done['sha256'][:16]}…")


@app.command()
def user(
    name: Annotated[str, typer.Argument(help="Name; empty: list everybody.")] = "",
    role: Annotated[
        str, typer.Option(help="annotator, reviewer or admin; default: as it is, or annotator.")
    ] = "",
    token: Annotated[
        bool, typer.Option("--token", help="Make a token for use from other machines; shown once.")
    ] = False,
    off: Annotated[bool, typer.Option("--off", help="Let nobody in under this name.")] = False,
) -> None:
    """List, make or change who reviews."""
    with _service() as service:
        owner, people = service.owner(), service.people
        if name:
            held = next((u["role"] for u in people.all() if u["name"] == name), "annotator")
            people.put(owner, name, role or held, active=not off)
            if token:
                typer.echo(people.make_token(owner, name))
                return
        for each in people.all():
            state = "" if each["active"] else "  off"
            has = "  has a token" if each["has_token"] else ""
            typer.echo(f"{each['name']}  {each['role']}{has}{state}")
