"""Series as they were found, and ``data/raw`` that holds them.

Nothing here is repaired: timestamps may be text, numbers or datetimes, values may be text. The
store is a manifest beside one parquet file per series, and acquiring the same thing twice gives
the same bytes.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from tsloop.errors import SeriesError, SeriesNotFoundError
from tsloop.files import fresh_dir, read_json, sha256_file, write_json
from tsloop.intervals import Interval
from tsloop.series.tables import file_stem, inside, read_table, write_parts
from tsloop.series.types import Role

__all__ = ["SCHEMA", "RawSeries", "RawStore", "RawWriter", "as_column"]

SCHEMA = "tsloop.raw/1"


@dataclass(frozen=True, eq=False)
class RawSeries:
    """One series as its source has it.

    ``timestamps`` and ``values`` are anything that `as_column` takes, of one length; they become
    arrow arrays. ``intervals`` are the source's own truth in rows of this raw table: ``None`` means
    that the source knows none, an empty tuple that it says "no anomaly". ``zone``, ``epoch_unit``,
    ``decimal``, ``thousands`` and ``step_s`` are what the source declares about this series; an
    empty one leaves the word to `PrepareConfig`. The column names serve error messages only.
    """

    id: str
    timestamps: Any
    values: Any
    group: str = ""
    role: Role = Role.POOL
    unit: str = ""
    zone: str = ""
    epoch_unit: str = ""
    decimal: str = ""
    thousands: str = ""
    step_s: float | None = None
    intervals: tuple[Interval, ...] | None = None
    timestamp_column: str = "timestamp"
    value_column: str = "value"
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.id:
            raise SeriesError("A series needs a non-empty id.")
        timestamps, values = as_column(self.timestamps), as_column(self.values)
        if len(timestamps) != len(values):
            raise SeriesError(
                f"Series {self.id!r} has {len(timestamps)} timestamps but {len(values)} values."
            )
        object.__setattr__(self, "timestamps", timestamps)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "group", self.group or self.id)

    def __len__(self) -> int:
        return len(self.values)


def as_column(data: Any) -> Any:
    """An arrow array of int64, double, string or timestamp[ns] (with the zone that was found).

    Takes arrow arrays, numpy arrays, pandas series and lists. What has no lossless place in one of
    the four becomes text, so that validation can name the row: truth values, timestamps beyond the
    years 1677–2262, lists of mixed kinds.
    """
    if not isinstance(data, pa.Array | pa.ChunkedArray):
        try:
            data = pa.array(data)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
            data = pa.array([None if item is None else str(item) for item in data])
    if isinstance(data, pa.ChunkedArray):
        data = data.combine_chunks()
    target = _target_type(data.type)
    try:
        return data.cast(target)
    except pa.ArrowInvalid:
        return data.cast(pa.string())


def _target_type(found: Any) -> Any:
    kind = pa.types
    if kind.is_dictionary(found):
        return _target_type(found.value_type)
    if kind.is_integer(found):
        return pa.int64()
    if kind.is_floating(found) or kind.is_decimal(found):
        return pa.float64()
    if kind.is_timestamp(found):
        return pa.timestamp("ns", found.tz)
    if kind.is_date(found):
        return pa.timestamp("ns")
    if kind.is_string(found) or kind.is_large_string(found) or kind.is_boolean(found):
        return pa.string()
    if kind.is_null(found):
        return pa.float64()
    raise SeriesError(
        f"A column of type {found} is neither time nor number.", hint="Choose another column."
    )


_PLAIN = ("group", "unit", "zone", "epoch_unit", "decimal", "thousands", "step_s")
_NAMES = ("timestamp_column", "value_column")


class RawWriter(contextlib.AbstractContextManager["RawWriter"]):
    """Fills ``data/raw``; the directory appears complete, or not at all.

    ``inputs`` are the files that the series come from, each with a mark of its content.
    """

    def __init__(self, directory: Path, inputs: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._inputs = dict(inputs or {})
        self._entries: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._context = self._filling()
        self._temporary = self._context.__enter__()
        return self

    def __exit__(self, *exception: Any) -> bool | None:
        return self._context.__exit__(*exception)

    @contextlib.contextmanager
    def _filling(self) -> Iterator[Path]:
        with fresh_dir(self._directory) as temporary:
            (temporary / "series").mkdir()
            yield temporary
            manifest: dict[str, Any] = {"schema": SCHEMA, "series": self._entries}
            if self._inputs:
                manifest["inputs"] = self._inputs
            write_json(temporary / "manifest.json", manifest)

    def add(self, raw: RawSeries) -> None:
        """Write one series; an id may come only once."""
        self.add_parts([raw])

    def add_parts(self, parts: Iterable[RawSeries]) -> RawSeries | None:
        """Write one series that comes in consecutive pieces; gives back the first of them.

        Only a row group of it is held in memory, and the bytes do not depend on how it was cut.
        The first piece says everything but the rows. No piece, no series. May be called from
        several threads.
        """
        pieces = iter(parts)
        first = next(pieces, None)
        if first is None:
            return None
        with self._lock:
            if first.id in self._entries:
                raise SeriesError(
                    f"Series id {first.id!r} comes twice.",
                    hint="Ids must be unique within a source.",
                )
            self._entries[first.id] = {}
        name = f"series/{file_stem(first.id)}.parquet"
        path = self._temporary / name
        n_rows = write_parts(path, _tables(first, pieces))
        truth = None if first.intervals is None else [i.to_dict() for i in first.intervals]
        self._entries[first.id] = {
            "file": name,
            "n_rows": n_rows,
            "sha256": sha256_file(path),
            "role": str(first.role),
            "intervals": truth,
            "meta": first.meta,
            **{key: getattr(first, key) for key in (*_PLAIN, *_NAMES)},
        }
        return first

    def n_rows(self, series_id: str) -> int:
        """Rows of a series that was written."""
        return int(self._entries[series_id]["n_rows"])


def _tables(first: RawSeries, pieces: Iterable[RawSeries]) -> Iterator[Any]:
    for piece in itertools.chain([first], pieces):
        kinds = (piece.timestamps.type, piece.values.type)
        if kinds != (first.timestamps.type, first.values.type):
            raise SeriesError(
                f"Series {first.id!r} comes in pieces of different types: "
                f"{first.values.type} and {piece.values.type}."
            )
        yield pa.table({"timestamp": piece.timestamps, "value": piece.values})


class RawStore:
    """Reads ``data/raw``; ``inputs`` are the files it was read from, where its source has some."""

    def __init__(
        self,
        directory: Path,
        entries: dict[str, dict[str, Any]],
        inputs: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.inputs = dict(inputs or {})
        self._entries = dict(sorted(entries.items()))

    @classmethod
    def open(cls, directory: Path) -> Self:
        """A directory that `RawWriter` filled."""
        path = directory / "manifest.json"
        if not path.is_file():
            raise SeriesError(f"{directory} holds no raw series.", hint="Run the acquire stage.")
        manifest = read_json(path)
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            raise SeriesError(f"{path} is not of schema {SCHEMA}.", hint="Run the acquire stage.")
        return cls(directory, manifest["series"], manifest.get("inputs"))

    def ids(self) -> list[str]:
        """All ids, sorted."""
        return list(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[RawSeries]:
        return (self[series_id] for series_id in self._entries)

    def __getitem__(self, series_id: str) -> RawSeries:
        entry = self._entries.get(series_id)
        if entry is None:
            raise SeriesNotFoundError(f"No raw series {series_id!r} in {self.directory}.")
        path = inside(self.directory, entry["file"])
        table = read_table(path, ["timestamp", "value"])
        truth = entry["intervals"]
        return RawSeries(
            series_id,
            table.column("timestamp"),
            table.column("value"),
            role=Role(entry["role"]),
            intervals=None if truth is None else tuple(Interval.from_dict(i) for i in truth),
            meta=entry["meta"],
            **{key: entry[key] for key in (*_PLAIN, *_NAMES)},
        )

    def __contains__(self, series_id: object) -> bool:
        return series_id in self._entries
