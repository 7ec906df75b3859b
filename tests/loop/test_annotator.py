"""Simulated annotators: settable errors, the same for a series in whatever order."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.annotations.fitting import fit_record
from tsloop.annotations.journal import read_journal, write_journal
from tsloop.errors import AnnotationError, ConfigError, LeakError, SeriesNotFoundError
from tsloop.files import write_jsonl
from tsloop.intervals import Basis, Interval, Status
from tsloop.labels import Label, LabelSet, builtin_label_set
from tsloop.loop.annotator import AnnotatorConfig, Truth, read_truth, simulate, simulate_gold
from tsloop.series.types import Role, Series

LABELS = builtin_label_set()
PERFECT = AnnotatorConfig(
    miss_rate=0, spurious_rate=0, edge_shift=0, edge_rows=0, wrong_label_rate=0, budget=1000
)
N_ROWS = 2000


class Store:
    """Series in memory, seen like a series store."""

    def __init__(self, series: list[Series]) -> None:
        self.entries = {item.id: item for item in series}

    def __getitem__(self, series_id: str) -> Series:
        if series_id not in self.entries:
            raise SeriesNotFoundError(f"No series {series_id!r}.")
        return self.entries[series_id]


def series_of(number: int, role: Role = Role.POOL) -> Series:
    times = 1_700_000_000_000_000_000 + 60_000_000_000 * np.arange(N_ROWS)
    values = np.random.default_rng(number).normal(size=N_ROWS)
    return Series(f"{role}{number:03d}", times, values, role=role)


POOL = [series_of(n) for n in range(60)]
GOLD = [series_of(n, Role.GOLD) for n in range(3)]
STORE = Store([*POOL, *GOLD])
TRUTH = {
    series.id: Truth(
        series.id,
        series.sha256,
        N_ROWS,
        tuple(
            Interval(300 * k + 50, 300 * k + 50 + 10 * (k % 3), LABELS.ids[k], reason="why")
            for k in range(n % 6)
        ),
    )
    for n, series in enumerate([*POOL, *GOLD])
}
QUEUE = [{"rank": n, "series_id": series.id, "score": 0.5} for n, series in enumerate(POOL, 1)]


def run(config: AnnotatorConfig = PERFECT, queue=QUEUE, **more):
    return simulate(TRUTH, queue, STORE, config, "it001", **more)


def test_without_errors_the_truth_comes_back() -> None:
    records = run()
    assert [record.series_id for record in records] == [row["series_id"] for row in QUEUE]
    for record, row in zip(records, QUEUE, strict=True):
        truth = TRUTH[record.series_id].intervals
        assert [(i.start, i.end, i.label) for i in record.intervals] == [
            (i.start, i.end, i.label) for i in truth
        ]
        assert record.result is (Status.OK if truth else Status.NONE)
        assert record.queue == row
        assert record.author == "simulated"
        assert {i.basis for i in record.intervals} <= {Basis.SIMULATED}
        assert fit_record(record, STORE[record.series_id], LABELS).record == record


def test_the_budget_goes_to_the_first_that_are_not_labelled() -> None:
    config = AnnotatorConfig(budget=3)
    taken = [record.series_id for record in run(config)]
    assert taken == [series.id for series in POOL[:3]]
    later = run(config, labelled=set(taken))
    assert [record.series_id for record in later] == [series.id for series in POOL[3:6]]
    repeated = run(config, [QUEUE[0], QUEUE[0], QUEUE[5]])
    assert [record.series_id for record in repeated] == [POOL[0].id, POOL[5].id]
    assert run(AnnotatorConfig(budget=0)) == []


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 3))
def test_errors_depend_on_the_series_and_the_seed_alone(order, seed) -> None:
    config = AnnotatorConfig(
        miss_rate=0.3, spurious_rate=0.3, wrong_label_rate=0.3, seed=seed, budget=99
    )
    plain = {r.series_id: r for r in run(config, QUEUE[:12])}
    mixed = {r.series_id: r for r in run(config, [QUEUE[i] for i in order])}
    assert plain == mixed


def test_another_seed_is_another_annotator() -> None:
    config = AnnotatorConfig(miss_rate=0.5, budget=99)
    other = AnnotatorConfig(miss_rate=0.5, budget=99, seed=1)
    assert [r.intervals for r in run(config)] != [r.intervals for r in run(other)]


def test_rates_are_kept() -> None:
    def count(**changes: float) -> dict[str, int]:
        base = {"miss_rate": 0.0, "spurious_rate": 0.0, "wrong_label_rate": 0.0}
        config = AnnotatorConfig(**{**base, **changes}, edge_shift=0, edge_rows=0, budget=99)
        out = {"kept": 0, "new": 0, "renamed": 0}
        for record in run(config):
            places = {(i.start, i.end): i.label for i in TRUTH[record.series_id].intervals}
            for interval in record.intervals:
                known = places.get((interval.start, interval.end))
                out["kept"] += known == interval.label
                out["new"] += known is None
                out["renamed"] += known not in (None, interval.label)
        return out

    total = sum(len(TRUTH[series.id].intervals) for series in POOL)
    assert count() == {"kept": total, "new": 0, "renamed": 0}
    assert count(miss_rate=1.0) == {"kept": 0, "new": 0, "renamed": 0}
    assert count(wrong_label_rate=1.0) == {"kept": 0, "new": 0, "renamed": total}
    assert 0.35 * total < count(miss_rate=0.5)["kept"] < 0.65 * total
    assert len(POOL) * 0.7 < count(spurious_rate=1.0)["new"] <= len(POOL)


def test_edges_move_and_points_stay() -> None:
    config = AnnotatorConfig(
        miss_rate=0, spurious_rate=0, wrong_label_rate=0, edge_shift=0.3, edge_rows=2, budget=99
    )
    moved = 0
    for record in run(config):
        for seen, known in zip(record.intervals, TRUTH[record.series_id].intervals, strict=True):
            assert 0 <= seen.start <= seen.end < N_ROWS
            assert (seen.start, seen.end) == (known.start, known.end) or len(known) > 1
            moved += (seen.start, seen.end) != (known.start, known.end)
            assert seen.overlap(known) or len(known) < 30
    assert moved > 50


def test_records_survive_a_journal(tmp_path: Path) -> None:
    records = run(AnnotatorConfig(budget=99))
    write_journal(tmp_path / "it001.jsonl", records)
    assert read_journal(tmp_path / "it001.jsonl") == sorted(records, key=lambda r: r.series_id)


def test_series_without_truth_are_passed_over() -> None:
    known = {key: value for key, value in TRUTH.items() if key != POOL[0].id}
    records = simulate(known, QUEUE, STORE, AnnotatorConfig(budget=1), "it001")
    assert [record.series_id for record in records] == [POOL[1].id]


def test_gold_is_labelled_without_errors_and_never_from_a_queue() -> None:
    records = simulate_gold(TRUTH, STORE)
    assert [record.series_id for record in records] == [series.id for series in GOLD]
    assert [len(record.intervals) for record in records] == [0, 1, 2]
    assert all(record.queue is None for record in records)
    erring = AnnotatorConfig(miss_rate=1.0, spurious_rate=0.0)
    assert simulate_gold(TRUTH, STORE, config=erring) == records
    blind = AnnotatorConfig(miss_rate=1.0, spurious_rate=0.0, gold_errors=True)
    assert all(r.result is Status.NONE for r in simulate_gold(TRUTH, STORE, config=blind))
    with pytest.raises(LeakError, match="offers 'gold001', a gold series"):
        run(queue=[{"series_id": "gold001"}])


def test_people_are_not_simulated() -> None:
    with pytest.raises(ConfigError, match="come from people"):
        run(AnnotatorConfig(kind="human"))


def test_truth_of_other_content_is_refused() -> None:
    truth = {POOL[0].id: Truth(POOL[0].id, POOL[1].sha256, N_ROWS, ())}
    with pytest.raises(AnnotationError, match="speaks of other content"):
        simulate(truth, QUEUE, STORE, PERFECT, "it001")
    with pytest.raises(SeriesNotFoundError):
        simulate(TRUTH, QUEUE, Store([]), PERFECT, "it001")


def test_a_label_set_of_one_label_has_no_other() -> None:
    single = LabelSet("one", 1, (Label("anomaly", "异常", "anomaly"),))
    truth = {POOL[0].id: Truth(POOL[0].id, POOL[0].sha256, N_ROWS, (Interval(5, 9),))}
    config = AnnotatorConfig(miss_rate=0, wrong_label_rate=1, spurious_rate=0)
    (record,) = simulate(truth, QUEUE, STORE, config, "it001", label_set=single)
    assert [i.label for i in record.intervals] == ["anomaly"]
    assert record.label_set == "one@1"


def test_truth_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "intervals.jsonl"
    with pytest.raises(AnnotationError, match="a simulated annotator reads nothing else"):
        read_truth(path)
    row = {"series_id": "a", "series_sha256": "0" * 64, "n_rows": 9, "intervals": []}
    spans = [{"start": 1, "end": 2, "label": "anomaly"}]
    write_jsonl(path, [row, {**row, "series_id": "b", "intervals": spans}])
    assert read_truth(path) == {
        "a": Truth("a", "0" * 64, 9, ()),
        "b": Truth("b", "0" * 64, 9, (Interval(1, 2),)),
    }
    write_jsonl(path, [row, {"series_id": "b"}])
    with pytest.raises(AnnotationError, match="row 2 is no truth"):
        read_truth(path)
    write_jsonl(path, [])
    with pytest.raises(AnnotationError, match=r"none of its series .* annotator=human"):
        read_truth(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "robot"},
        {"miss_rate": 1.5},
        {"spurious_rate": -0.1},
        {"wrong_label_rate": 2},
        {"budget": -1},
        {"edge_shift": -0.5},
        {"edge_rows": -1},
    ],
)
def test_settings_out_of_range_name_their_key(changes) -> None:
    (key,) = changes
    with pytest.raises(ConfigError, match=f"annotator.{key} is"):
        AnnotatorConfig(**changes)
