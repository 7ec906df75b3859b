"""Series from any CSV or parquet file or folder, for detection outside the pipeline."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from tsloop.errors import SourceError
from tsloop.series.types import Series

__all__ = ["read_series"]


def read_series(path: Path, **settings: object) -> Iterator[Series]:
    """Read and validate the series at ``path`` as the pipeline would; ids are the file names.

    ``settings`` are keys of the folder source (``timestamp_column``, ``zone``, …).
    """
    from tsloop import sources
    from tsloop.series.prepare import PrepareConfig, prepare_store
    from tsloop.series.store import SeriesStore
    from tsloop.sources.folder import FolderConfig
    from tsloop.typed import from_mapping

    if not path.exists():
        raise SourceError(
            f"{path} does not exist.", hint="Give a CSV or parquet file, or a folder."
        )
    folder, pattern = (path, None) if path.is_dir() else (path.parent, path.name)
    values: dict[str, object] = {"path": str(folder), **settings}
    if pattern:
        values["pattern"] = pattern
    source = sources.build("folder", from_mapping(FolderConfig, values, "source"))
    with tempfile.TemporaryDirectory(prefix="tsloop-") as scratch:
        work = Path(scratch)
        sources.acquire(source, work / "raw", lambda *_: None)
        config = PrepareConfig(sample_step_s=1.0)
        prepare_store(work / "raw", work / "series", work / "truth", config, lambda *_: None)
        yield from SeriesStore.open(work / "series")
