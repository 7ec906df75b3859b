"""``data/series``: validated series, their reduced views and thumbnails.

::

    manifest.json            id -> SeriesEntry, and how the views were made
    series/<name>.parquet    timestamp (ns, UTC), value (null = gap)
    views/<name>.parquet     row, timestamp, value; only where the series is longer than a view
    thumbs/<name>.png
    repairs.jsonl            written by prepare
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pyarrow as pa

from tsloop.errors import SeriesError, SeriesNotFoundError
from tsloop.files import fresh_dir, read_json, write_json
from tsloop.series.reduce import SAMPLER, ReducedView, m4_positions, reduce_series
from tsloop.series.tables import file_stem, inside, read_table, write_table
from tsloop.series.thumbnails import draw_thumbnail
from tsloop.series.types import Role, Series

__all__ = ["SCHEMA", "SeriesEntry", "SeriesStore", "SeriesWriter"]

SCHEMA = "tsloop.series/1"


@dataclass(frozen=True)
class SeriesEntry:
    """What the manifest says of one series.

    ``file`` is relative to the store, ``sha256`` the content hash of `Series`, ``t_start`` and
    ``t_end`` the first and last UTC timestamp and ``step_ns`` their usual distance in nanoseconds.
    """

    id: str
    file: str
    sha256: str
    n_rows: int
    group: str
    role: Role
    unit: str
    zone: str
    step_ns: int
    t_start: int
    t_end: int
    n_missing: int = 0
    meta: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The manifest's value for this id."""
        out = dataclasses.asdict(self)
        del out["id"]
        return {**out, "role": str(self.role)}

    @classmethod
    def from_dict(cls, series_id: str, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        return cls(id=series_id, **{**data, "role": Role(data["role"])})


class SeriesWriter(contextlib.AbstractContextManager["SeriesWriter"]):
    """Fills ``data/series``; the directory appears complete, or not at all.

    ``directory`` is the temporary place where files go until then. ``thumbnail_width=0`` draws no
    thumbnails.
    """

    def __init__(
        self,
        directory: Path,
        *,
        view_points: int = 4000,
        thumbnail_width: int = 240,
        thumbnail_height: int = 60,
    ) -> None:
        self._target = directory
        self._view_points = view_points
        self._thumbnail = (thumbnail_width, thumbnail_height)
        self._entries: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Self:
        self._context = self._filling()
        self.directory = self._context.__enter__()
        return self

    def __exit__(self, *exception: Any) -> bool | None:
        return self._context.__exit__(*exception)

    @contextlib.contextmanager
    def _filling(self) -> Iterator[Path]:
        with fresh_dir(self._target) as temporary:
            for name in ("series", "views", "thumbs"):
                (temporary / name).mkdir()
            yield temporary
            views = {"sampler": SAMPLER, "n_out": self._view_points}
            manifest = {"schema": SCHEMA, "views": views, "series": self._entries}
            write_json(temporary / "manifest.json", manifest)

    def add(self, series: Series) -> SeriesEntry:
        """Write a series with its view and thumbnail; an id may come only once."""
        if series.id in self._entries:
            raise SeriesError(f"Series id {series.id!r} comes twice.")
        if len(series) == 0:
            raise SeriesError(f"Series {series.id!r} has no rows.")
        stem = file_stem(series.id)
        name = f"series/{stem}.parquet"
        write_table(self.directory / name, _table(series.timestamps, series.values))
        if len(series) > self._view_points:
            positions = m4_positions(series.values, self._view_points)
            view = _table(series.timestamps[positions], series.values[positions])
            view = view.add_column(0, "row", pa.array(positions))
            write_table(self.directory / "views" / f"{stem}.parquet", view)
        if self._thumbnail[0] > 0:
            picture = draw_thumbnail(series.values, *self._thumbnail)
            (self.directory / "thumbs" / f"{stem}.png").write_bytes(picture)
        entry = SeriesEntry(
            id=series.id,
            file=name,
            sha256=series.sha256,
            n_rows=len(series),
            group=series.group,
            role=series.role,
            unit=series.unit,
            zone=series.zone,
            step_ns=series.step_ns,
            t_start=int(series.timestamps[0]),
            t_end=int(series.timestamps[-1]),
            n_missing=int(np.count_nonzero(np.isnan(series.values))),
            meta=series.meta,
        )
        self._entries[series.id] = entry.to_dict()
        return entry


class SeriesStore:
    """Reads ``data/series``; ``entries`` is sorted by id."""

    def __init__(
        self, directory: Path, entries: Mapping[str, SeriesEntry], view_points: int
    ) -> None:
        self.directory = directory
        self.entries: Mapping[str, SeriesEntry] = MappingProxyType(dict(sorted(entries.items())))
        self.view_points = view_points

    @classmethod
    def open(cls, directory: Path) -> Self:
        """A directory that `SeriesWriter` filled."""
        path = Path(directory) / "manifest.json"
        if not path.is_file():
            raise SeriesError(f"{directory} holds no series.", hint="Run the prepare stage.")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise SeriesError(f"{path} is not of schema {SCHEMA}.", hint="Run the prepare stage.")
        entries = {
            series_id: SeriesEntry.from_dict(series_id, data)
            for series_id, data in manifest["series"].items()
        }
        return cls(Path(directory), entries, int(manifest["views"]["n_out"]))

    def ids(self, role: Role | None = None) -> list[str]:
        """Sorted ids: all of them, or those of one role."""
        return [i for i, entry in self.entries.items() if role is None or entry.role is role]

    def entry(self, series_id: str) -> SeriesEntry:
        """The manifest's entry; an unknown id is a `SeriesNotFoundError` with the nearest ids."""
        if (found := self.entries.get(series_id)) is not None:
            return found
        close = difflib.get_close_matches(series_id, self.entries, n=3, cutoff=0.5)
        raise SeriesNotFoundError(
            f"No series {series_id!r} among the {len(self)} of {self.directory}.",
            hint=f"Did you mean {' or '.join(map(repr, close))}?" if close else "",
        )

    def __getitem__(self, series_id: str) -> Series:
        """Read one series; content that does not fit the manifest's hash is a `SeriesError`."""
        entry = self.entry(series_id)
        path = inside(self.directory, entry.file)
        table = read_table(path, ["timestamp", "value"])
        series = Series(
            entry.id,
            _times(table),
            _values(table),
            group=entry.group,
            role=entry.role,
            unit=entry.unit,
            zone=entry.zone,
            meta=entry.meta,
        )
        if series.sha256 != entry.sha256:
            raise SeriesError(
                f"{path} does not hold what {self.directory / 'manifest.json'} says "
                f"(hash {series.sha256[:12]}…, expected {entry.sha256[:12]}…).",
                hint="Run the prepare stage again.",
            )
        return series

    def __iter__(self) -> Iterator[Series]:
        return (self[series_id] for series_id in self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, series_id: object) -> bool:
        return series_id in self.entries

    def view(self, series_id: str) -> ReducedView:
        """The stored reduced view; a short series as a whole."""
        entry = self.entry(series_id)
        if entry.n_rows <= self.view_points:
            return reduce_series(self[series_id], self.view_points)
        path = self.directory / "views" / f"{file_stem(series_id)}.parquet"
        table = read_table(path, ["row", "timestamp", "value"])
        return ReducedView(table.column("row").to_numpy(), _times(table), _values(table))

    def thumbnail(self, series_id: str) -> Path:
        """The PNG of a series; a store without thumbnails is a `SeriesError`."""
        path = self.directory / "thumbs" / f"{file_stem(self.entry(series_id).id)}.png"
        if not path.is_file():
            raise SeriesError(
                f"There is no thumbnail {path}.",
                hint="Set prepare.thumbnail_width to 240 and run the prepare stage.",
            )
        return path


def _table(timestamps: Any, values: Any) -> Any:
    return pa.table(
        {
            "timestamp": pa.array(timestamps, pa.int64()).cast(pa.timestamp("ns", "UTC")),
            "value": pa.array(values, pa.float64(), from_pandas=True),
        }
    )


def _times(table: Any) -> Any:
    return np.asarray(table.column("timestamp").cast(pa.int64()).to_numpy(), dtype=np.int64)


def _values(table: Any) -> Any:
    """Null becomes NaN, also in a column without any value."""
    return np.asarray(table.column("value").to_numpy(), dtype=np.float64)
