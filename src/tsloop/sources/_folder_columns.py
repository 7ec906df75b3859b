"""Which columns of a file hold the time, the values, the series of a row and its label."""

from __future__ import annotations

from tsloop.errors import SourceError
from tsloop.sources._folder_config import FolderConfig

__all__ = ["row_columns", "value_columns"]

_NO_VALUES = ("", "row_idx")  # an index of the rows, as older tools and tsloop write it
_TIME_NAMES = ("timestamp", "time", "date", "datetime", "ts", "时间", "时间戳", "日期")


def row_columns(config: FolderConfig, file: str, names: list[str]) -> tuple[str, str]:
    """The columns that say of each row its series and its label; "" where there is none."""
    for key in ("series_column", "label_column"):
        if (wanted := getattr(config, key)) and wanted not in names:
            raise SourceError(
                f"{file} has no column {wanted!r}.",
                hint=f"Its columns are {names[:12]}; set source.{key}.",
            )
    series = config.series_column or ("series" if {"series", "value"} <= {*names} else "")
    return series, config.label_column or ("label" if series and "label" in names else "")


def value_columns(
    config: FolderConfig,
    file: str,
    names: list[str],
    time: str = "",
    value: str = "",
    skip: tuple[str, ...] = (),
) -> tuple[str, list[str]]:
    """The time column and the value columns among the columns of a file."""
    time, value = time or config.timestamp_column, value or config.value_column
    hint = f"Its columns are {names[:12]}; set source.timestamp_column and source.value_column."
    for wanted in (time, value):
        if wanted and wanted not in names:
            raise SourceError(f"{file} has no column {wanted!r}.", hint=hint)
    if not time:
        candidates = [name for name in names if name.lower() in _TIME_NAMES]
        if len(candidates) != 1:
            what = f"{len(candidates)} columns that look" if candidates else "no column that looks"
            raise SourceError(f"{file} has {what} like the time.", hint=hint)
        time = candidates[0]
    rest = [
        name for name in names if name not in (time, *_NO_VALUES, *skip, *config.ignore_columns)
    ]
    if value or "value" in rest:
        rest = [value or "value"]
    if not rest:
        raise SourceError(f"{file} has no value column beside {time!r}.", hint=hint)
    return time, rest
