"""``tsloop import``: public benchmarks as data of a project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tsloop.labels import LabelSet
    from tsloop.loop.importing import Imported

__all__ = ["import_"]

_SHOWN = 10


def import_(
    kind: Annotated[str, typer.Argument(help="nab, ucr, tsb_ad, kpi or yahoo.")],
    path: Annotated[Path, typer.Argument(help="The folder as it was downloaded and unpacked.")],
    out: Annotated[
        Path | None, typer.Option(help="New folder for the result; default: imported/KIND.")
    ] = None,
    gold_share: Annotated[
        float, typer.Option(help="Share of the groups that are gold; the others are pool.")
    ] = 0.5,
    label: Annotated[
        str, typer.Option(help="Label id for anomalies of which the benchmark says no more.")
    ] = "anomaly",
    truth: Annotated[
        str, typer.Option(help="Of NAB: windows (wide zones) or points (the labels in them).")
    ] = "windows",
    zone: Annotated[str, typer.Option(help="IANA zone of stamps that name none.")] = "UTC",
    step_s: Annotated[
        float, typer.Option(help="Seconds between samples where a benchmark has no times.")
    ] = 1.0,
    limit: Annotated[int, typer.Option(help="At most this many series; 0: all.")] = 0,
) -> None:
    """Read a benchmark's series and labels into a folder for source=folder, with gold.jsonl.

    A series that cannot be read is left out and told, and makes the exit code 1.
    """
    from tsloop.errors import SourceError
    from tsloop.execution.progress import stage_progress
    from tsloop.loop.importing import import_benchmark
    from tsloop.loop.inference import LENIENT
    from tsloop.series.policies import PrepareConfig
    from tsloop.sources.benchmarks import open_benchmark
    from tsloop.sources.benchmarks.base import BenchmarkConfig
    from tsloop.typed import from_mapping

    place = out or Path("imported") / kind
    if place.exists() and not (place / "import.json").is_file():
        raise SourceError(f"{place} is there and was not imported.", hint="Choose another --out.")
    config = BenchmarkConfig(str(path), zone, step_s, truth, limit)
    source = open_benchmark(kind, config)
    with stage_progress("import") as progress:
        done = import_benchmark(
            source,
            place,
            from_mapping(PrepareConfig, {**LENIENT, "zone": zone}, "prepare"),
            _label_set(),
            gold_share=gold_share,
            label=label,
            progress=progress,
        )
    _say(done, place)


def _label_set() -> LabelSet:
    """That of the project, outside of one the built-in one."""
    from tsloop.config.params import read_params
    from tsloop.config.schema import section
    from tsloop.errors import ProjectError
    from tsloop.labels import builtin_label_set, load_label_set
    from tsloop.project import find_project

    try:
        project = find_project()
    except ProjectError:
        return builtin_label_set()
    chosen = section(read_params(project), "labels").set
    return builtin_label_set() if chosen == "tsloop" else load_label_set(project.root / chosen)


def _say(done: Imported, place: Path) -> None:
    from tsloop.names import counted

    typer.echo(
        f"{counted(done.n_series, 'series', 'series')}, {done.n_rows:,} rows, "
        f"{counted(done.n_events, 'labelled event')}; {done.n_gold} gold, {done.n_pool} pool"
        + (f" ({done.n_unlabelled} unlabelled)" if done.n_unlabelled else "")
        + f", {counted(len(done.repairs), 'repair')}: {place}"
    )
    _say_reasons("skipped", done.skipped)
    typer.echo("Next:")
    typer.echo(f"  tsloop configure source=folder source.path={place}")
    typer.echo("  dvc repro prepare")
    if done.n_gold:
        typer.echo(f"  tsloop labels gold add {place / 'gold.jsonl'}")
    if done.refused:
        _say_reasons("could not be read", done.refused)
        raise typer.Exit(1)


def _say_reasons(what: str, reasons: dict[str, str]) -> None:
    if not reasons:
        return
    typer.echo(f"{len(reasons)} {what}:", err=True)
    for name, reason in list(reasons.items())[:_SHOWN]:
        typer.echo(f"  {name}: {reason}", err=True)
    if len(reasons) > _SHOWN:
        typer.echo(f"  … and {len(reasons) - _SHOWN} more (see import.json)", err=True)
