"""``tsloop detect``: label new data at once."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tsloop.cli.reading import (
    DATA_HELP,
    SET_HELP,
    ZONE_HELP,
    reading_here,
    say_faults,
    say_repairs,
    with_option,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from tsloop.detectors.base import Detector
    from tsloop.intervals import Detection
    from tsloop.project import Project
    from tsloop.series.types import Series
    from tsloop.series.validate import Repair

    Scores = npt.NDArray[np.floating[Any]]

__all__ = ["detect"]


def detect(
    data: Annotated[Path, typer.Argument(help=DATA_HELP)],
    model: Annotated[
        str,
        typer.Option(
            help="Model directory, ITERATION/VARIANT, or ITERATION for its primary variant; "
            "default: the champion."
        ),
    ] = "",
    out: Annotated[Path, typer.Option(help="Where results and pictures go.")] = Path("detections"),
    pictures: Annotated[bool, typer.Option(help="Draw a PNG per series.")] = True,
    contrast: Annotated[
        bool,
        typer.Option(
            "--contrast",
            help="Add a column with how far each segment stands out from the rows beside it (about "
            "1 to 100; no confidence).",
        ),
    ] = False,
    zone: Annotated[str, typer.Option(help=ZONE_HELP)] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=SET_HELP)
    ] = None,
) -> None:
    """Find anomalies in new data; writes detections.csv and a picture per series.

    A series that cannot be read or scored is a row with its reason, and makes the exit code 1.
    """
    from tsloop.execution.progress import stage_progress
    from tsloop.intervals import Detection
    from tsloop.loop.inference import NewData, detect_new
    from tsloop.names import counted
    from tsloop.report.picture import detection_png
    from tsloop.tracking.serving import detection_rows

    how = reading_here(zone, settings or ())
    rows: list[dict[str, object]] = []
    faults: list[tuple[str, str]] = []
    repairs: list[Repair] = []
    new_data = NewData(data, how)
    files = _picture_names(new_data.names)
    detector, said = _detector(model)
    typer.echo(said)
    out.mkdir(parents=True, exist_ok=True)
    with stage_progress("detect") as progress:
        for found in detect_new(new_data, detector, progress):
            new, detection = found.new, found.detection
            repairs += new.repairs
            if detection.status == "failed":
                detection = Detection.failed(with_option(detection.reason))
                faults.append((new.id, detection.reason))
            level = detector.decision.hi
            detection = _with_level(detection, found.scores, level)
            found_rows = detection_rows(new.series, detection, new.id)
            rows += _with_contrast(found_rows, new.series, detection) if contrast else found_rows
            if pictures and new.series is not None:
                detection_png(
                    new.series, detection, found.scores, out / files[new.id], "en", level=level
                )
    table = out / "detections.csv"
    _write_table(table, rows, ("contrast",) if contrast else ())
    _say_found(rows)
    typer.echo(
        f"{counted(len(rows), 'row')} in {table}" + (f", pictures in {out}/" if pictures else "")
    )
    say_repairs(repairs)
    say_faults(faults, len(new_data), str(table))


def _with_level(detection: Detection, scores: Scores | None, level: float) -> Detection:
    """Where nothing was found: how near the highest score came to the level that it must reach."""
    import numpy as np

    from tsloop.intervals import Detection, Status

    if detection.status is not Status.NONE or scores is None or not np.isfinite(scores).any():
        return detection
    said = f"highest score {np.nanmax(scores):.2f}, level {level:.2f}"
    return Detection(Status.NONE, (), f"{detection.reason} ({said})" if detection.reason else said)


def _picture_names(series_ids: Sequence[str]) -> dict[str, str]:
    """A file name for each id: the id itself where it is one; no two alike on any disk."""
    from tsloop.series.tables import file_stem

    plain = {name: re.sub(r"[^\w.-]+", "_", name) for name in series_ids}
    count = Counter(name.casefold() for name in plain.values())
    unique = {name for name in plain.values() if count[name.casefold()] == 1 and _fits(name)}
    return {
        series_id: f"{name if name in unique else file_stem(series_id)}.png"
        for series_id, name in plain.items()
    }


def _fits(name: str) -> bool:
    return bool(name.strip("._-")) and not name.startswith(".") and len(name.encode()) <= 200


def _with_contrast(
    rows: list[dict[str, object]], series: Series | None, detection: Detection
) -> list[dict[str, object]]:
    """The rows of one series with the contrast of their segments; close ones share theirs."""
    from tsloop.errors import EvaluationError
    from tsloop.evaluation.contrast import segment_contrast

    if series is None or not detection.intervals:
        return rows
    try:
        segments = segment_contrast(series.values, detection.intervals)
    except EvaluationError:  # every row is flagged: nothing is left to stand out from
        segments = []
    return [
        {
            **row,
            "contrast": next((s.score for s in segments if s.start <= found.start <= s.end), None),
        }
        for row, found in zip(rows, detection.intervals, strict=True)
    ]


def _write_table(
    path: Path, rows: list[dict[str, object]], more_columns: Sequence[str] = ()
) -> None:
    from tsloop.files import write_text_atomic
    from tsloop.tracking.serving import OUTPUT_COLUMNS

    text = io.StringIO()
    writer = csv.DictWriter(text, (*OUTPUT_COLUMNS, *more_columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_atomic(path, text.getvalue())


def _say_found(rows: list[dict[str, object]]) -> None:
    shown = [row for row in rows if row["status"] != "failed"]
    for row in shown[:20]:
        typer.echo(_line(row))
    if len(shown) > 20:
        typer.echo(f"… and {len(shown) - 20} more")


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
        key = _model_key(project, model)
        return load_detector(project.model(*key.split("/", 1))), f"Model: {key}"
    served = champion_model(project.root) if project else None
    if served is None:
        detector = build({"_target_": "tsloop.detectors.chatts.ChattsDetector"})
        return detector, "No champion yet: using the embedded base, which no label has taught."
    promotion, directory = served
    said = f"Model: {promotion.to}, the champion (promoted {promotion.time})"
    return load_detector(directory), said


def _model_key(project: Project, model: str) -> str:
    """``ITERATION/VARIANT`` of what was asked for; the primary variant where none is named."""
    from tsloop.api import ModelAdapter
    from tsloop.config.params import read_iterations, read_params
    from tsloop.errors import DetectorError
    from tsloop.project import BASE
    from tsloop.tracking.promotions import published_iteration

    iteration, _, variant = model.partition("/")
    if iteration != BASE and iteration not in read_iterations(project):
        known = ", ".join(ModelAdapter(project).registered())
        raise DetectorError(
            f"There is no iteration {iteration!r}, and no model directory of that name.",
            hint=f"Give ITERATION/VARIANT: {known}." if known else "Nothing is published yet.",
        )
    if variant:
        return model
    if iteration == BASE:
        return f"{BASE}/{read_params(project)['loop']['primary']}"
    return f"{iteration}/{published_iteration(project.root, iteration).primary}"
