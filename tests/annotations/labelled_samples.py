"""Series and records to label them with, for the tests of this folder."""

import zlib

import numpy as np

from tsloop.annotations.record import AnnotationRecord
from tsloop.intervals import Interval, Status
from tsloop.series.types import Role, Series

STEP_NS = 60_000_000_000
T0 = 1_700_000_000_000_000_000


def make_series(
    series_id: str,
    n_rows: int = 600,
    group: str = "",
    role: Role = Role.POOL,
    seed: int | None = None,
    values: np.ndarray | None = None,
) -> Series:
    """Noise with a seed of its own (from the id), one sample a minute."""
    rng = np.random.default_rng(zlib.crc32(series_id.encode()) if seed is None else seed)
    noise = rng.normal(20.0, 3.0, n_rows) if values is None else values
    return Series(series_id, T0 + STEP_NS * np.arange(len(noise)), noise, group=group, role=role)


def record_of(series: Series, *spans: tuple[int, int, str], **changes: object) -> AnnotationRecord:
    """A judgement of a series; no spans: looked and found nothing."""
    return AnnotationRecord(
        series.id,
        series.sha256,
        len(series),
        Status.OK if spans else Status.NONE,
        "tsloop@1",
        tuple(
            Interval(
                start,
                end,
                label,
                t_start=int(series.timestamps[start]),
                t_end=int(series.timestamps[end]),
            )
            for start, end, label in spans
        ),
    ).replace(**changes)
