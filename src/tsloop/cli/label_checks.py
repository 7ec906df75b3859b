"""``tsloop labels check|suspects|agreement``: whether labels can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tsloop.annotations.checks.config import ChecksConfig
    from tsloop.annotations.checks.findings import Finding
    from tsloop.evaluation.agreement import Agreement, Dispute
    from tsloop.evaluation.bootstrap import Estimate
    from tsloop.loop.label_check import Checked
    from tsloop.loop.suspects.find import LabelSuspect
    from tsloop.project import Project

__all__ = ["agreement", "check", "suspects"]

TARGET_HELP = "Iteration, as it001, or a journal file; default: the newest iteration with labels."


def check(
    target: Annotated[str, typer.Argument(help=TARGET_HELP)] = "",
    shown: Annotated[int, typer.Option("--show", help="Findings to list of each check.")] = 5,
) -> None:
    """Look for faults in labels: bounds, contradictions, far edges, copies, gold, drift, agreement.

    What is looked for, and whether it warns or stops `dataset@`, is set by `tsloop configure
    checks.NAME=off|warn|stop`. Where a check that stops has found something, the exit code is 1.
    """
    from tsloop.annotations.checks.findings import stopping
    from tsloop.loop.label_check import check_is_iteration, check_iteration, check_journal
    from tsloop.project import find_project

    project = find_project()
    path = Path(target)
    if path.is_file():
        found = check_journal(project, path)
    else:
        if target:
            check_is_iteration(project, target)
        found = check_iteration(project, target or newest_labelled(project))
    _say(found, shown)
    if stopping(found.findings, found.config):
        raise typer.Exit(1)


def newest_labelled(project: Project) -> str:
    """The newest iteration that has a journal."""
    from tsloop.config.params import read_iterations
    from tsloop.errors import AnnotationError

    for name in reversed(read_iterations(project)):
        if project.labels(name).exists() or project.simulated(name).exists():
            return name
    raise AnnotationError(
        "No iteration has labels yet.", hint="Write what to label: tsloop labels template it001"
    )


def _say(found: Checked, shown: int) -> None:
    from rich.table import Table

    from tsloop.annotations.checks.config import CHECKS
    from tsloop.annotations.checks.findings import counted_by_check
    from tsloop.cli.tables import show
    from tsloop.names import counted

    series = counted(found.n_records, "series", "series")
    typer.echo(f"{found.journal}: {series}, {counted(found.n_intervals, 'interval')}.")
    counts = counted_by_check(found.findings, found.config)
    table = Table()
    for title in ("check", "looks for", "action", "findings"):
        table.add_column(title, justify="right" if title == "findings" else "left")
    for name, row in counts.items():
        table.add_row(name, CHECKS[name].en, row["action"], str(row["findings"]))
    show(table)
    for name in counts:
        _list(name, [f for f in found.findings if f.check == name], shown)


def _list(name: str, findings: Sequence[Finding], shown: int) -> None:
    if not findings or shown < 1:
        return
    typer.echo(f"{name}:")
    for finding in findings[:shown]:
        typer.echo(f"  {finding}")
    if len(findings) > shown:
        typer.echo(f"  … and {len(findings) - shown} more (--show {len(findings)})")


def suspects(
    iteration: Annotated[
        str, typer.Argument(help="Iteration whose labels (all so far) are judged; default: newest.")
    ] = "",
    shown: Annotated[int, typer.Option("--show", help="How many places to list.")] = 20,
    detectors: Annotated[
        list[str] | None,
        typer.Option(
            "--detector",
            help="Whose scores out of fold are the evidence, as knn or chatts; may be repeated. "
            "Default: knn and boosting.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole list as JSON lines.")] = None,
) -> None:
    """Rank labels that look wrong, and events without a label: please look again.

    Detectors that did not learn from a series judge its labels. The chance that a place is an error
    is learned from errors planted in these very labels; nothing here changes a label.
    """
    from tsloop.annotations.snapshot import read_snapshot
    from tsloop.errors import AnnotationError
    from tsloop.execution.progress import stage_progress
    from tsloop.files import write_jsonl
    from tsloop.loop.suspects.evidence import DEFAULT_DETECTORS
    from tsloop.loop.suspects.find import MIN_INTERVALS, MIN_SERIES, can_judge, find_suspects
    from tsloop.project import find_project
    from tsloop.series.store import SeriesStore

    project = find_project()
    records = read_snapshot(project.snapshot(iteration or _newest_snapshot(project))).records
    if not can_judge(records):
        raise AnnotationError(
            f"There are {len(records)} labelled series; to tell odd labels from the rest, at least "
            f"{MIN_SERIES} with {MIN_INTERVALS} intervals are needed.",
            hint="Label more, or look for faults with: tsloop labels check",
        )
    store = SeriesStore.open(project.series)
    with stage_progress("suspects") as progress:
        found = find_suspects(
            records, store, detectors=detectors or DEFAULT_DETECTORS, progress=progress
        )
    if out is not None:
        write_jsonl(out, (suspect.to_dict() for suspect in found))
    _say_suspects(found, shown)


def _newest_snapshot(project: Project) -> str:
    from tsloop.config.params import read_iterations
    from tsloop.errors import AnnotationError

    for name in reversed(read_iterations(project)):
        if project.snapshot(name).is_dir():
            return name
    raise AnnotationError("No labels are frozen in a snapshot yet.", hint="Run: dvc repro")


def _say_suspects(found: Sequence[LabelSuspect], shown: int) -> None:
    from rich.table import Table

    from tsloop.cli.tables import show
    from tsloop.loop.suspects.find import KINDS

    labels = sum(suspect.kind != "missed" for suspect in found)
    typer.echo(f"{labels} labels and {len(found) - labels} unlabelled spots were judged.")
    table = Table()
    for title in ("series", "rows", "label", "kind", "chance", "better rows"):
        table.add_column(title, justify="right" if title == "chance" else "left")
    for suspect in found[:shown]:
        better = suspect.better
        table.add_row(
            suspect.series_id,
            f"{suspect.interval.start}–{suspect.interval.end}",
            "" if suspect.kind == "missed" else suspect.interval.label,
            suspect.kind,
            f"{suspect.score:.2f}",
            "" if better is None else f"{better.start}–{better.end}",
        )
    show(table)
    for kind, text in KINDS.items():
        typer.echo(f"{kind}: {text}")


def agreement(
    first: Annotated[Path, typer.Argument(help="Journal of one person; or an iteration.")],
    second: Annotated[
        Path | None,
        typer.Argument(
            help="Journal of another; default: data/labels/ITERATION.second.jsonl, where FIRST is "
            "an iteration."
        ),
    ] = None,
    iou: Annotated[
        float | None, typer.Option(help="Least IoU of one event; default: checks.match_iou.")
    ] = None,
    disputed: Annotated[
        Path | None, typer.Option("--disputes", help="Write what a third person has to decide.")
    ] = None,
    shown: Annotated[int, typer.Option("--show", help="How many disputes to list.")] = 20,
) -> None:
    """Compare what two people said of the same series, and list what they do not agree on.

    Of each series the first record of either journal counts, before anything was corrected. The
    exit code is 1 where kappa over rows is below `checks.min_kappa` and `checks.agreement` is stop.
    """
    from tsloop.evaluation.agreement import compare_readings, disputes
    from tsloop.files import write_jsonl
    from tsloop.loop.second_reading import readings_of
    from tsloop.project import find_project

    project = find_project()
    config, readings = readings_of(project, first, second)
    level = config.match_iou if iou is None else iou
    found = compare_readings(readings, iou=level)
    open_cases = disputes(readings, iou=level)
    if disputed is not None:
        write_jsonl(disputed, (case.to_dict() for case in open_cases))
    _say_agreement(found, level)
    _say_disputes(open_cases, shown)
    _say_verdict(found, config)


def _say_agreement(found: Agreement, iou: float) -> None:
    from rich.table import Table

    from tsloop.cli.tables import show
    from tsloop.names import counted

    typer.echo(f"{counted(found.n_series, 'series', 'series')} that both have labelled.")
    table = Table(title="95 % intervals by bootstrap over groups", title_justify="left")
    table.add_column("label")
    for title in ("first", "second", f"matched (IoU≥{iou:g})", "event match", "kappa (rows)"):
        table.add_column(title, justify="right")
    for name, row in {"any": found.overall, **found.labels}.items():
        counts = (row.n_first, row.n_second, row.n_matched)
        figures = (_figure(row.event_f1), _figure(row.kappa))
        table.add_row(name, *(str(count) for count in counts), *figures)
    show(table)
    if found.same_label is not None:
        typer.echo(f"Of the matched events {found.same_label:.0%} have the same label from both.")


def _figure(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.2f}"
    return f"{estimate.value:.2f} ({estimate.low:.2f}–{estimate.high:.2f})"


def _say_disputes(cases: Sequence[Dispute], shown: int) -> None:
    words = {
        "only_first": "only the first",
        "only_second": "only the second",
        "edges": "other edges",
        "label": "other label",
    }
    typer.echo(f"To decide: {len(cases)}")
    for case in cases[:shown]:
        sides = (
            "–" if side is None else f"[{side.start}, {side.end}] {side.label}"
            for side in (case.first, case.second)
        )
        typer.echo(f"  {case.series_id}  {words[case.kind]}: {' / '.join(sides)}")
    if len(cases) > shown:
        typer.echo(f"  … and {len(cases) - shown} more (--disputes FILE writes all)")


def _say_verdict(found: Agreement, config: ChecksConfig) -> None:
    from tsloop.annotations.checks.second import low_agreement

    low = list(low_agreement(found, config.min_kappa))
    if found.overall.kappa.value is None:
        typer.echo("Kappa is undefined: neither of them marked anything.")
    elif not low:
        typer.echo(f"Good enough: kappa reaches checks.min_kappa = {config.min_kappa:g}.")
    for finding in low:
        typer.echo(f"Not good enough: {finding.what}. Decide the cases above, and agree on rules.")
    if low and config.agreement == "stop":
        raise typer.Exit(1)
