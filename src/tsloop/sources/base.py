"""The contract that every source keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from tsloop.series.raw import RawSeries

__all__ = ["Source"]


class Source(ABC):
    """Where series come from.

    - ``list`` gives the ids of all series, sorted, each of them once; it does not read values.
    - ``read`` gives one series as found: nothing is repaired, dropped or rounded, and it does not
      matter which others were read before.
    - Both are deterministic for a fixed request: the same configuration and the same data give
      equal series, so that acquiring twice gives the same bytes.
    - What cannot be listed or read raises `SourceError`; an unknown id raises it as well.
    - ``parts`` and ``read`` may be called from several threads at once, for different series.
    """

    kind: ClassVar[str]
    """Short name, as in ``conf/source/<kind>.yaml``."""
    config_class: ClassVar[type[Any]]
    """Frozen dataclass of the source's settings."""
    jobs: int = 1
    """How many threads it is worth to read with at once."""

    @abstractmethod
    def list(self) -> list[str]:
        """Sorted ids."""

    @abstractmethod
    def read(self, name: str) -> RawSeries:
        """The series of that id."""

    def parts(self, name: str) -> Iterator[RawSeries]:
        """The series in consecutive pieces, for those that are too long to be held in memory.

        All pieces have the same id, columns and statements, and the first has the truth. No piece
        at all says that there is nothing to read, and that the settings take this for no fault.
        """
        yield self.read(name)

    def batches(self, names: Sequence[str]) -> Sequence[Sequence[str]]:
        """The series in groups that are best read one after the other by one thread."""
        return [[name] for name in names]

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Give back what was opened; reading again opens it again."""

    def inputs(self) -> dict[str, str]:
        """The files that the series come from, with a mark of their content, and nothing else.

        It tells whether acquiring again would give something else although the settings are the
        same. It is cheap, the same on every machine, and empty where there are no such files.
        """
        return {}
