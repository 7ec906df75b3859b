"""Simulated annotators: they answer a queue from the source's truth, with errors as set.

What they do to a series depends on the seed and the series id alone, so the same series gets the
same errors in whatever order it is asked for. Only simulated annotators read the truth.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tsloop.annotations.fitting import SeriesLookup
from tsloop.annotations.record import AnnotationRecord
from tsloop.errors import AnnotationError, ConfigError, LeakError
from tsloop.files import read_jsonl
from tsloop.intervals import Basis, Interval, Status
from tsloop.labels import LabelSet, builtin_label_set
from tsloop.series.types import Role, Series

__all__ = ["AUTHOR", "AnnotatorConfig", "Truth", "read_truth", "simulate", "simulate_gold"]

AUTHOR = "simulated"

KINDS = ("simulated", "human")

_LET_PEOPLE_LABEL = (
    "Let people label: tsloop configure annotator=human. Or use a source that knows intervals "
    "(docs/sources.md)."
)


@dataclass(frozen=True, slots=True)
class AnnotatorConfig:
    """``conf/annotator``: who labels. All rates are probabilities in [0, 1]."""

    kind: str = "simulated"
    """simulated, or human (then people write the journals and nothing is simulated)."""
    budget: int = 12
    """How many series of the queue are labelled in one iteration."""
    miss_rate: float = 0.05
    """Probability that an interval of the truth is overlooked."""
    spurious_rate: float = 0.02
    """Probability that one interval is added to a series where nothing is."""
    edge_shift: float = 0.1
    """Standard deviation of an edge's error, as a share of the interval's length."""
    edge_rows: int = 1
    """Largest further error of an edge, in rows either way; single rows stay single."""
    wrong_label_rate: float = 0.05
    """Probability that an interval gets another label than the truth says."""
    seed: int = 0
    """Draws the errors; another seed is another annotator."""
    gold_errors: bool = False
    """Whether gold is labelled with errors too (never useful but for experiments on gold)."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"annotator.kind is {self.kind!r}; choose one of {list(KINDS)}.")
        for key in ("miss_rate", "spurious_rate", "wrong_label_rate"):
            if not 0.0 <= getattr(self, key) <= 1.0:
                raise ConfigError(f"annotator.{key} is {getattr(self, key)}, not in [0, 1].")
        for key in ("budget", "edge_shift", "edge_rows"):
            if not 0 <= getattr(self, key) < float("inf"):
                raise ConfigError(
                    f"annotator.{key} is {getattr(self, key)}; it cannot be negative."
                )


@dataclass(frozen=True, slots=True)
class Truth:
    """What the source itself says of a series, in rows of the stored series."""

    series_id: str
    series_sha256: str
    n_rows: int
    intervals: tuple[Interval, ...]


def read_truth(path: Path) -> dict[str, Truth]:
    """Read ``data/truth/intervals.jsonl``: one row per series whose truth is known.

    A file without any row is refused: an annotator that knows nothing would label nothing, and
    iterations would train on no labels at all.
    """
    if not path.is_file():
        raise AnnotationError(
            f"There is no truth in {path}, and a simulated annotator reads nothing else.",
            hint=_LET_PEOPLE_LABEL,
        )
    truth: dict[str, Truth] = {}
    for number, row in enumerate(read_jsonl(path), start=1):
        try:
            found = Truth(
                str(row["series_id"]),
                str(row["series_sha256"]),
                int(row["n_rows"]),
                tuple(Interval.from_dict(item) for item in row["intervals"]),
            )
        except (KeyError, TypeError, ValueError, AnnotationError) as error:
            raise AnnotationError(
                f"{path}, row {number} is no truth of a series: {error!r}."
            ) from error
        truth[found.series_id] = found
    if not truth:
        raise AnnotationError(
            f"The source knows the truth of none of its series ({path} is empty), so a simulated "
            "annotator has nothing to say.",
            hint=_LET_PEOPLE_LABEL,
        )
    return truth


def simulate(
    truth: Mapping[str, Truth],
    queue: Sequence[Mapping[str, Any]],
    store: SeriesLookup,
    config: AnnotatorConfig,
    iteration: str,
    *,
    labelled: Collection[str] = (),
    label_set: LabelSet | None = None,
) -> list[AnnotationRecord]:
    """Answer the first ``budget`` queue rows whose series are neither labelled nor without truth.

    Records come in queue order. A queue that offers a gold series is a `LeakError`.
    """
    if config.kind != "simulated":
        raise ConfigError(
            f"annotator.kind is {config.kind!r}: the labels of {iteration} come from people, "
            "there is nothing to simulate."
        )
    labels = label_set or builtin_label_set()
    records: list[AnnotationRecord] = []
    done = set(labelled)
    for row in queue:
        series_id = str(row["series_id"])
        if len(records) >= config.budget:
            break
        if series_id in done or series_id not in truth:
            continue
        series = store[series_id]
        if series.role == Role.GOLD:
            raise LeakError(
                f"The queue of {iteration} offers {series_id!r}, a gold series.",
                hint="Samplers draw from series of the role pool only.",
            )
        done.add(series_id)
        known = truth[series_id]
        found = _with_errors(known, config, labels)
        records.append(_record(known, found, series, labels, dict(row)))
    return records


def simulate_gold(
    truth: Mapping[str, Truth],
    store: SeriesLookup,
    label_set: LabelSet | None = None,
    config: AnnotatorConfig | None = None,
) -> list[AnnotationRecord]:
    """Records of all gold series whose truth is known, sorted by id, without errors.

    Only a ``config`` with ``gold_errors`` makes the errors that it sets.
    """
    labels = label_set or builtin_label_set()
    erring = config if config is not None and config.gold_errors else None
    return [
        _record(
            truth[series_id],
            _with_errors(truth[series_id], erring, labels)
            if erring
            else truth[series_id].intervals,
            store[series_id],
            labels,
            None,
        )
        for series_id in sorted(store.entries)
        if store.entries[series_id].role == Role.GOLD and series_id in truth
    ]


def _with_errors(known: Truth, config: AnnotatorConfig, label_set: LabelSet) -> list[Interval]:
    """The truth as this annotator sees it. Each interval takes the same number of draws."""
    digest = hashlib.sha256(f"{config.seed}\0{known.series_id}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    found: list[Interval] = []
    for interval in known.intervals:
        missed, wrong, choice = rng.random(3)
        shares, rows = rng.standard_normal(2), rng.uniform(-1, 1, 2)
        if missed < config.miss_rate:
            continue
        moved = shares * config.edge_shift * len(interval) + rows * config.edge_rows
        seen = _moved(interval, moved[0], moved[1], known.n_rows)
        if wrong < config.wrong_label_rate:
            seen = seen.replace(label=_other_label(seen.label, choice, label_set), reason="")
        found.append(seen)
    extra, place, length, choice = rng.random(4)
    if extra < config.spurious_rate and known.n_rows:
        start = int(place * known.n_rows)
        end = min(known.n_rows - 1, start + int(length * max(1, known.n_rows // 200)))
        if not any(i.start <= end and start <= i.end for i in known.intervals):
            found.append(Interval(start, end, _other_label("", choice, label_set)))
    return found


def _moved(interval: Interval, start_by: float, end_by: float, n_rows: int) -> Interval:
    """The interval with shifted edges, inside the series; a single row moves as a whole at most."""
    if len(interval) == 1:
        return interval
    start = min(max(0, round(interval.start + start_by)), n_rows - 1)
    end = min(max(0, round(interval.end + end_by)), n_rows - 1)
    return interval.replace(start=min(start, end), end=max(start, end))


def _other_label(label: str, choice: float, label_set: LabelSet) -> str:
    others = [other for other in label_set.ids if other != label]
    return others[int(choice * len(others))] if others else label


def _record(
    known: Truth,
    intervals: Iterable[Interval],
    series: Series,
    label_set: LabelSet,
    queue: dict[str, Any] | None,
) -> AnnotationRecord:
    if (known.series_sha256, known.n_rows) != (series.sha256, len(series)):
        raise AnnotationError(
            f"The truth of series {known.series_id!r} speaks of other content than the store has.",
            hint="Make both again with: dvc repro prepare",
        )
    stamped = tuple(
        Interval(
            interval.start,
            interval.end,
            interval.label,
            reason=interval.reason,
            basis=Basis.SIMULATED,
            author=AUTHOR,
            t_start=int(series.timestamps[interval.start]),
            t_end=int(series.timestamps[interval.end]),
        )
        for interval in intervals
    )
    return AnnotationRecord(
        known.series_id,
        known.series_sha256,
        known.n_rows,
        Status.OK if stamped else Status.NONE,
        label_set.ref,
        stamped,
        author=AUTHOR,
        queue=queue,
    )
