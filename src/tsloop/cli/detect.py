"""``tsloop detect``: label new data at once."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tsloop.detectors.base import Detector

__all__ = ["detect"]


def detect(
    data: Annotated[Path, typer.Argument(help="CSV or parquet file, or a folder of them.")],
    model: Annotated[
        str, typer.Option(help="Model directory or ITERATION/VARIANT; default: the champion.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Where results and pictures go.")] = Path("detections"),
    pictures: Annotated[bool, typer.Option(help="Draw a PNG per series.")] = True,
    zone: Annotated[str, typer.Option(help="Time zone of stamps that name none.")] = "UTC",
) -> None:
    """Find anomalies in new data; writes detections.csv and a picture per series."""
    from tsloop.execution.progress import stage_progress
    from tsloop.loop.inference import read_series
    from tsloop.report.picture import detection_png
    from tsloop.tracking.serving import OUTPUT_COLUMNS, detection_rows

    found_series = list(read_series(data, zone=zone))
    detector, said = _detector(model)
    typer.echo(said)
    rows: list[dict[str, object]] = []
    failed = 0
    out.mkdir(parents=True, exist_ok=True)
    with stage_progress("detect") as progress:
        for number, series in enumerate(found_series, start=1):
            found, scores = detector.analyse(series)
            failed += found.status == "failed"
            rows += detection_rows(series, found)
            progress(number, len(found_series), series.id)
            if pictures:
                name = re.sub(r"[^\w.-]+", "_", series.id)
                detection_png(series, found, scores, out / f"{name}.png", "en")
    table = out / "detections.csv"
    with table.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, OUTPUT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows[:20]:
        typer.echo(_line(row))
    typer.echo(f"{len(rows)} rows in {table}" + (f", pictures in {out}/" if pictures else ""))
    if failed:
        typer.echo(f"{failed} series could not be scored; their reason is in {table}.", err=True)
        raise typer.Exit(1)


def _line(row: dict[str, object]) -> str:
    if row["status"] != "ok":
        return f"{row['series_id']}: {row['status']} {row['reason'] or ''}".rstrip()
    span = f"{row['t_start']} … {row['t_end']}"
    return f"{row['series_id']}: {span}  {row['label']}  {row['reason'] or ''}".rstrip()


def _detector(model: str) -> tuple[Detector, str]:
    """The detector to use and one sentence on which it is."""
    from tsloop.detectors import build
    from tsloop.detectors.files import load_detector
    from tsloop.errors import DetectorError, ProjectError
    from tsloop.project import find_project
    from tsloop.tracking.promotions import champion_model

    if model and Path(model).is_dir():
        return load_detector(Path(model)), f"Model: {model}"
    try:
        project = find_project()
    except ProjectError:
        project = None
    if model:
        if project is None:
            raise DetectorError(f"There is no model {model!r} here.", hint="Give a directory.")
        iteration, _, variant = model.partition("/")
        if not variant:
            raise DetectorError(f"Model {model!r} names no variant.", hint=f"Write {model}/chatts.")
        return load_detector(project.model(iteration, variant)), f"Model: {model}"
    served = champion_model(project.root) if project else None
    if served is None:
        detector = build({"_target_": "tsloop.detectors.chatts.ChattsDetector"})
        return detector, "No champion yet: using the embedded base, which no label has taught."
    promotion, directory = served
    said = f"Model: {promotion.to}, the champion (promoted {promotion.time})"
    return load_detector(directory), said
