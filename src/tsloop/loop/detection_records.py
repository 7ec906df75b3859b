"""Detections as records to export: proposals that nobody has judged, and failures apart."""

from __future__ import annotations

from pathlib import PurePosixPath

from tsloop.annotations.record import DRAFT, AnnotationRecord
from tsloop.detectors.predictions import read_detections
from tsloop.errors import DetectorError
from tsloop.intervals import Basis, Status
from tsloop.labels import LabelSet
from tsloop.project import Project
from tsloop.series.store import SeriesStore

__all__ = ["detection_records"]


def detection_records(
    project: Project, key: str, store: SeriesStore, label_set: LabelSet
) -> tuple[list[AnnotationRecord], list[str]]:
    """Records of ``ITERATION/VARIANT`` by series, and the failed series with their reasons.

    A failure is no record: written as an empty mask it would look like "no anomaly".
    """
    iteration, _, variant = key.partition("/")
    directory = project.predictions(iteration, variant or PurePosixPath(key).name)
    if not directory.is_dir():
        raise DetectorError(
            f"There are no predictions of {key!r}.", hint="Make them with: dvc repro"
        )
    records: list[AnnotationRecord] = []
    failed: list[str] = []
    for series_id, detection in read_detections(directory).items():
        if detection.status is Status.FAILED:
            failed.append(f"{series_id}: {detection.reason}")
            continue
        stamps = store[series_id].timestamps
        intervals = tuple(
            i.replace(
                basis=Basis.MODEL, t_start=int(stamps[i.start]), t_end=int(stamps[i.end]), time=""
            )
            for i in detection.intervals
        )
        entry = store.entry(series_id)
        records.append(
            AnnotationRecord(
                series_id,
                entry.sha256,
                entry.n_rows,
                detection.status,
                label_set.ref,
                intervals,
                extra={DRAFT: f"detected by {key}"},
            )
        )
    return records, failed
