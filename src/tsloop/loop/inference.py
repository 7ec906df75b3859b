"""New data outside the pipeline: series from any file or folder of them, one at a time."""

from __future__ import annotations

import contextlib
import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

from tsloop.errors import ConfigError, SeriesValidationError, SourceError, TsloopError
from tsloop.intervals import Detection

if TYPE_CHECKING:
    import numpy.typing as npt

    from tsloop.detectors.base import Detector
    from tsloop.project import Project
    from tsloop.series.policies import PrepareConfig
    from tsloop.series.raw import RawSeries
    from tsloop.series.types import Series
    from tsloop.series.validate import Repair, Validated
    from tsloop.sources.folder import FolderConfig, FolderSource

__all__ = ["LENIENT", "Found", "NewData", "NewSeries", "Reading", "detect_new", "reading"]

LENIENT = {"duplicates": "first", "unsorted": "sort", "infinite": "gap", "text": "gap"}
"""The repairs of ``conf/prepare/lenient.yaml``: what counts outside a project."""

_STRICT = dict.fromkeys(LENIENT, "error")
_PRESETS = {"lenient": LENIENT, "strict": _STRICT}
_FORMAT = (
    *("timestamp_column", "value_column", "ignore_columns", "zone", "epoch_unit", "encoding"),
    *("delimiter", "has_header", "decimal", "thousands", "max_bytes", "sheet", "series_column"),
)
"""Keys of a project's folder source that say how its files are written, not which they are."""
_QUOTES = ("'", '"')


@dataclass(frozen=True)
class Reading:
    """How new data is read: ``source`` for the files, ``prepare`` for what is repaired."""

    source: FolderConfig
    prepare: PrepareConfig


@dataclass(frozen=True, eq=False)
class NewSeries:
    """One series of new data with what was repaired; ``series`` is ``None`` where it is refused."""

    id: str
    series: Series | None
    error: TsloopError | None = None
    repairs: tuple[Repair, ...] = ()


@dataclass(frozen=True, eq=False)
class Found:
    """What a detector says of one series of new data, with its scores where there are any."""

    new: NewSeries
    detection: Detection
    scores: npt.NDArray[np.float64] | None = None


def reading(
    project: Project | None = None, *, zone: str = "", settings: Sequence[str] = ()
) -> Reading:
    """How to read new data: as the project reads its own, changed by ``settings``.

    ``settings`` are ``KEY=VALUE`` with keys of ``source`` and ``prepare``, or ``prepare=lenient``
    and ``prepare=strict``. Outside a project common faults are repaired. Where nothing states a
    zone, timestamps without one are UTC. Which groups are gold has no meaning here.
    """
    from tsloop.series.policies import PrepareConfig
    from tsloop.sources.folder import FolderConfig
    from tsloop.typed import from_mapping

    source, prepare = ({}, dict(LENIENT)) if project is None else _project_settings(project)
    prepare |= {"gold_groups": [], "gold_share": 0.0}
    if prepare.get("sample_step_s") is None:
        prepare["sample_step_s"] = 1.0
    for text in settings:
        key, sign, value = text.strip().partition("=")
        room, _, name = key.partition(".")
        if key == "prepare" and value in _PRESETS:
            prepare |= _PRESETS[value]
        elif sign and name and room == "source":
            source[name] = _value(FolderConfig, name, value)
        elif sign and name and room == "prepare":
            prepare[name] = _value(PrepareConfig, name, value)
        else:
            raise ConfigError(
                f"{text!r} is not a setting for reading data.",
                hint="Write it as source.encoding=gb18030, prepare.duplicates=first or "
                "prepare=strict.",
            )
    if zone:
        source["zone"] = zone
    if "path" in source:
        raise ConfigError("source.path is the file or folder itself.", hint="Leave the key out.")
    if not prepare.get("zone"):
        prepare["zone"] = "UTC"
    return Reading(
        from_mapping(FolderConfig, source, "source"),
        from_mapping(PrepareConfig, prepare, "prepare"),
    )


def _project_settings(project: Project) -> tuple[dict[str, Any], dict[str, Any]]:
    from tsloop.config.params import read_params
    from tsloop.config.schema import resolve_environment, section

    params = read_params(project)
    found: Mapping[str, Any] = params.get("source") or {}
    source: dict[str, Any] = {}
    if found.get("kind") == "folder":
        source = {key: found[key] for key in _FORMAT if key in found}
    return resolve_environment(source, "source"), dataclasses.asdict(section(params, "prepare"))


def _value(cls: type[Any], name: str, text: str) -> Any:
    """A value as the field takes it; an unknown field is left to `from_mapping`."""
    hint = typing.get_type_hints(cls).get(name, str)
    if hint is str:
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES
        return text[1:-1] if quoted else text
    value: Any = text
    with contextlib.suppress(yaml.YAMLError):
        value = yaml.safe_load(text)
    if typing.get_origin(hint) is list:
        items = value.split(",") if isinstance(value, str) else value
        items = items if isinstance(items, list) else [items]
        return [str(item).strip() for item in items if item is not None]
    return value


class NewData:
    """The series of a file or a folder.

    A file is read by its name alone. A folder is read as the folder source reads it, by its
    ``manifest.json`` where it has one. What cannot be read is one `NewSeries` with its error and
    does not keep the others from being read.
    """

    def __init__(self, path: Path, how: Reading) -> None:
        from tsloop.sources.folder import FolderSource

        if not path.exists():
            raise SourceError(
                f"{path} does not exist.", hint="Give a CSV, parquet or Excel file, or a folder."
            )
        self._how = how
        self._source: FolderSource = (
            FolderSource(dataclasses.replace(how.source, path=str(path)))
            if path.is_dir()
            else FolderSource.of_file(path, how.source)
        )
        refused: dict[str, SourceError] = {}
        self._source.refused = refused
        self.names: list[str] = sorted([*self._source.list(), *refused])
        """Ids of the series, and names of the files that cannot be read."""
        if not self.names:
            raise SourceError(
                f"{path} holds no series to read.",
                hint="Series are files that end in .csv, .tsv (also .gz) or .parquet; "
                "check the folder and source.pattern.",
            )

    def __len__(self) -> int:
        return len(self.names)

    @property
    def refused(self) -> tuple[str, ...]:
        """Names of the files that cannot be read: nobody knows which series are in them."""
        return tuple(self._source.refused or ())

    def batches(self, names: Sequence[str]) -> list[list[str]]:
        """Some of `names` in groups that are best read one after the other."""
        refused = self._source.refused or {}
        readable = [name for name in names if name not in refused]
        single = [[name] for name in names if name in refused]
        return [*(list(batch) for batch in self._source.batches(readable)), *single]

    def mark(self, name: str) -> str:
        """A mark of the content of the file that a series comes from."""
        return self._source.mark(name)

    def read(self, name: str) -> NewSeries:
        """Read and validate one of `names`."""
        from tsloop.series.validate import validate

        if name in (self._source.refused or {}):
            return NewSeries(name, None, (self._source.refused or {})[name])
        try:
            raw = self._source.read(name)
            found = validate(raw, self._how.prepare)
            _check_numbers(raw, found)
        except TsloopError as error:
            return NewSeries(name, None, error)
        return NewSeries(name, found.series, repairs=found.repairs)


def detect_new(
    data: NewData, detector: Detector, progress: Callable[[int, int, str], None]
) -> Iterator[Found]:
    """Read and score one series after the other; what cannot be read is ``failed``."""
    for done, name in enumerate(data.names):
        progress(done, len(data), name)
        new = data.read(name)
        if new.series is None:
            yield Found(new, Detection.failed(str(new.error)))
        else:
            yield Found(new, *detector.analyse(new.series))
    progress(len(data), len(data), "done")


def _check_numbers(raw: RawSeries, found: Validated) -> None:
    """Refuse a column without one number: it holds something else, or is misread."""
    texts = [repair for repair in found.repairs if repair.kind == "text"]
    if not texts or not bool(np.isnan(found.series.values).all()):
        return
    row, column = texts[0].first_row, raw.value_column
    raise SeriesValidationError(
        f"Series {raw.id!r} ({raw.meta.get('file', '')}), row {row}, column {column!r}: "
        f"{str(raw.values[row].as_py())[:40]!r} is not a number, and no cell of it is.",
        row=row,
        column=column,
        hint=f"Set source.ignore_columns={column!r} if it holds no measurements, or source.decimal "
        "if its numbers are written in another way.",
    )
