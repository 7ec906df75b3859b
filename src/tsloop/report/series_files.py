"""Series as CSV and JPEG files, with the names and looks that tools before tsloop know."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsloop.errors import ConfigError
from tsloop.files import write_bytes_atomic, write_text_atomic
from tsloop.series.reduce import m4_positions
from tsloop.series.store import SeriesEntry
from tsloop.series.tables import file_stem
from tsloop.series.types import Series

__all__ = ["LAYOUTS", "SeriesFiles", "series_csv", "series_jpeg"]

LAYOUTS = ("legacy", "rows")
SIZE_INCHES, DPI, QUALITY = (20.0, 4.0), 200, 95
MAX_TICKS = 150


class SeriesFiles:
    """Writes series into ``out``, one CSV each and, where wanted, a picture of the same rows.

    ``points`` is about how many rows are kept (by M4; 0: all). A file is called after the last node
    of its device and its measurement where the series has them, else after its id; two series never
    share a name.
    """

    def __init__(
        self, out: Path, points: int, layout: str, pictures: bool, entries: Iterable[SeriesEntry]
    ) -> None:
        if layout not in LAYOUTS:
            raise ConfigError(f"--layout {layout!r} is not known.", hint=f"One of {list(LAYOUTS)}.")
        if points < 0 or points % 4:
            raise ConfigError(f"--points {points} is not a multiple of 4.")
        self._out, self._points, self._layout, self._pictures = out, points, layout, pictures
        self._names = _file_names(entries)

    def write(self, series: Series) -> Path:
        """Write one series; returns the CSV file."""
        rows = np.arange(len(series))
        if self._points:
            rows = m4_positions(series.values, self._points)
        path = self._out / f"{self._names[series.id]}.csv"
        write_text_atomic(path, series_csv(series, rows, self._layout))
        if self._pictures:
            write_bytes_atomic(path.with_suffix(".jpg"), series_jpeg(series.values[rows]))
        return path


def series_csv(series: Series, rows: npt.NDArray[np.int64], layout: str = "legacy") -> str:
    """Some rows as CSV; a gap is an empty value, numbers are written so that they come back."""
    times = series.timestamps[rows]
    values = ["" if value != value else repr(value) for value in series.values[rows].tolist()]
    if layout == "legacy":
        lines = zip(_local_times(times, series.zone), values, strict=True)
        return "date,value\n" + "".join(f"{time},{value}\n" for time, value in lines)
    stamps = np.datetime_as_string(times.astype("datetime64[ns]"), _unit(times), timezone="UTC")
    text = "".join(
        f"{row},{stamp},{value}\n"
        for row, stamp, value in zip(rows.tolist(), stamps.tolist(), values, strict=True)
    )
    return "row_idx,timestamp,value\n" + text


def series_jpeg(values: npt.NDArray[np.float64]) -> bytes:
    """A picture of values over their row number: what annotators and vision models were shown."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor="white", layout="tight")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    axes.plot(np.arange(len(values)), values, color="black", linewidth=0.5)
    axes.margins(x=0, y=0.1)
    axes.xaxis.set_major_locator(MaxNLocator(MAX_TICKS, integer=True))
    axes.tick_params(axis="x", labelrotation=90, labelsize=6)
    axes.grid(axis="x", color="lightblue", linewidth=0.5)
    axes.ticklabel_format(axis="both", style="plain", useOffset=False)
    stream = io.BytesIO()
    figure.savefig(
        stream,
        format="jpg",
        bbox_inches="tight",
        pad_inches=0.05,
        pil_kwargs={"quality": QUALITY},
    )
    return stream.getvalue()


def _local_times(times: npt.NDArray[np.int64], zone: str) -> list[str]:
    import pandas as pd

    local = pd.DatetimeIndex(times, tz="UTC").tz_convert(zone).tz_localize(None)
    texts = np.datetime_as_string(local.to_numpy("datetime64[ns]"), _unit(times))
    return [text.replace("T", " ") for text in texts.tolist()]


def _unit(times: npt.NDArray[np.int64]) -> Any:
    """Whole seconds are written as such, anything finer to the nanosecond."""
    return "s" if not (times % 10**9).any() else "ns"


def _file_names(entries: Iterable[SeriesEntry]) -> dict[str, str]:
    """A file name without its ending for each id, readable, and no two alike on any disk."""
    plain = {entry.id: _plain_name(entry) for entry in entries}
    count = Counter(name.casefold() for name in plain.values())
    return {
        series_id: name
        if count[name.casefold()] == 1 and 0 < len(name.encode()) <= 200
        else file_stem(series_id)
        for series_id, name in plain.items()
    }


def _plain_name(entry: SeriesEntry) -> str:
    device, measurement = entry.meta.get("device"), entry.meta.get("measurement")
    name = entry.id
    if isinstance(device, str) and isinstance(measurement, str):
        name = f"{device.rpartition('.')[2]}_{measurement}"
    return re.sub(r'[\\/:*?"<>|\x00-\x1f`]+', "_", name).strip(" .")
