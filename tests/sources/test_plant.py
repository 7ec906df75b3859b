"""The plant: deterministic, independent units, honest truth, and events that are no anomalies."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.errors import ConfigError, SourceError
from tsloop.files import sha256_tree
from tsloop.intervals import to_mask
from tsloop.labels import builtin_label_set
from tsloop.series.policies import PrepareConfig
from tsloop.series.raw import RawSeries
from tsloop.series.types import Role
from tsloop.series.validate import validate
from tsloop.sources import acquire, build
from tsloop.sources._plant_anomalies import KINDS, Fault, draw, free_rows, trim
from tsloop.sources._plant_units import UNIT_TYPES
from tsloop.sources.plant import PlantConfig, PlantSource


def values(raw: RawSeries) -> np.ndarray:
    return np.array(raw.values.to_numpy(zero_copy_only=False), dtype=float)


@pytest.fixture(scope="module")
def plant() -> dict[str, RawSeries]:
    source = PlantSource(PlantConfig())
    return {name: source.read(name) for name in source.list()}


def test_the_default_plant_has_its_size(plant: dict[str, RawSeries]) -> None:
    assert len(plant) == 240
    assert {len(raw) for raw in plant.values()} == {2880}
    assert "FI_10101A.PV" in plant
    gold = {raw.group for raw in plant.values() if raw.role is Role.GOLD}
    pool = {raw.group for raw in plant.values() if raw.role is Role.POOL}
    assert (len(gold), len(pool)) == (8, 16)
    assert not gold & pool
    types = {raw.meta["unit_type"] for raw in plant.values() if raw.role is Role.GOLD}
    assert types == {kind.name for kind in UNIT_TYPES}


def test_the_truth_has_every_kind_in_plausible_number(plant: dict[str, RawSeries]) -> None:
    labels = [i.label for raw in plant.values() for i in raw.intervals or ()]
    assert set(labels) == set(builtin_label_set().ids) - {"anomaly"}
    assert set(labels) == set(KINDS)
    assert min(labels.count(label) for label in KINDS) >= 10
    assert 2.0 <= len(labels) / len(plant) <= 4.0
    clean = sum(raw.intervals == () for raw in plant.values()) / len(plant)
    assert 0.15 <= clean <= 0.4
    share = np.mean([to_mask(raw.intervals or (), len(raw)).mean() for raw in plant.values()])
    assert 0.01 <= share <= 0.08


def test_every_tag_is_a_plausible_series(plant: dict[str, RawSeries]) -> None:
    tags = [tag for kind in UNIT_TYPES for tag in kind.tags]
    limits = {(tag.prefix, tag.unit, tag.low, tag.high) for tag in tags}
    missing = []
    for raw in plant.values():
        x = values(raw)
        gap = np.isnan(x)
        missing.append(gap.mean())
        prefix = raw.id.split("_")[0]
        ranges = [(low, high) for p, unit, low, high in limits if (p, unit) == (prefix, raw.unit)]
        low, high = min(r[0] for r in ranges), max(r[1] for r in ranges)
        margin = 0.03 * (high - low)
        assert np.nanmin(x) >= low - margin
        assert np.nanmax(x) <= high + margin
        # Missing samples are no anomalies, and anomalies are not missing.
        assert not (gap & to_mask(raw.intervals or (), len(raw))).any()
        assert validate(raw, PrepareConfig()).repairs == ()
    assert 0.001 < np.mean(missing) < 0.03


def test_setpoints_are_constant_between_moves_and_never_anomalous(
    plant: dict[str, RawSeries],
) -> None:
    setpoints = [raw for raw in plant.values() if raw.id.endswith(".SP")]
    assert len(setpoints) == 12
    for raw in setpoints:
        x = values(raw)
        assert raw.intervals == ()
        assert np.count_nonzero(np.diff(x[~np.isnan(x)])) <= 20


def test_intervals_of_one_tag_do_not_overlap(plant: dict[str, RawSeries]) -> None:
    for raw in plant.values():
        rows = [(i.start, i.end) for i in raw.intervals or ()]
        assert rows == sorted(rows)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(rows))


def test_some_upsets_hit_several_tags_at_once(plant: dict[str, RawSeries]) -> None:
    seen: dict[tuple[str, str, int], int] = {}
    for raw in plant.values():
        for i in raw.intervals or ():
            key = (raw.group, i.label, i.start)
            seen[key] = seen.get(key, 0) + 1
    assert sum(count >= 2 for count in seen.values()) >= 10


def test_tags_of_a_unit_move_together(plant: dict[str, RawSeries]) -> None:
    flow, current = values(plant["FI_10101A.PV"]), values(plant["II_10104A.PV"])
    both = ~np.isnan(flow) & ~np.isnan(current)
    assert np.corrcoef(flow[both], current[both])[0, 1] > 0.6


def test_a_stuck_sensor_is_exactly_constant_in_its_interval(plant: dict[str, RawSeries]) -> None:
    for raw in plant.values():
        for i in raw.intervals or ():
            if i.label == "flatline":
                assert np.ptp(values(raw)[i.start : i.end + 1]) == 0


def test_the_convention_holds_big_events_that_are_normal(plant: dict[str, RawSeries]) -> None:
    """Analyser calibration is by far the largest excursion, and never in the truth."""
    analysers = [
        raw for raw in plant.values() if "oxygen" in raw.meta["description"] and raw.intervals == ()
    ] or [raw for raw in plant.values() if "oxygen" in raw.meta["description"]]
    for raw in analysers:
        x = values(raw)
        span = np.flatnonzero(x > 10)
        assert len(span) >= 4
        inside = to_mask(raw.intervals or (), len(raw))
        assert inside[span].mean() < 0.2


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    config = {"units": 3, "days": 1.0}
    for name in ("one", "two"):
        acquire(build("plant", config), tmp_path / name)
    assert sha256_tree(tmp_path / "one") == sha256_tree(tmp_path / "two")
    acquire(build("plant", {**config, "seed": 1}), tmp_path / "other")
    assert sha256_tree(tmp_path / "one") != sha256_tree(tmp_path / "other")


def test_a_unit_does_not_depend_on_the_others_or_on_the_order_of_reading() -> None:
    small = PlantSource(PlantConfig(units=2, days=2))
    large = PlantSource(PlantConfig(units=9, days=2))
    assert set(small.list()) < set(large.list())
    for name in reversed(small.list()):
        one, two = small.read(name), large.read(name)
        assert one.role is two.role
        assert one.intervals == two.intervals
        np.testing.assert_array_equal(values(one), values(two))


def test_other_settings() -> None:
    calm = PlantSource(PlantConfig(units=6, days=2, anomalies_per_tag=0))
    assert all(calm.read(name).intervals == () for name in calm.list())
    all_gold = PlantSource(PlantConfig(units=2, days=0.5, gold_share=1.0))
    assert {all_gold.read(name).role for name in all_gold.list()} == {Role.GOLD}
    no_gold = PlantSource(PlantConfig(units=7, days=0.5, gold_share=0.0))
    assert {no_gold.read(name).role for name in no_gold.list()} == {Role.POOL}
    busy = PlantSource(PlantConfig(units=6, days=5, clean_share=0.0, anomalies_per_tag=6))
    assert np.mean([len(busy.read(name).intervals or ()) for name in busy.list()]) > 3
    fast = PlantSource(PlantConfig(units=1, days=0.5, step_s=20))
    assert len(fast.read(fast.list()[0])) == 2160


def test_timestamps_are_true_and_zoned() -> None:
    source = PlantSource(PlantConfig(units=1, days=1))
    raw = source.read(source.list()[0])
    found = validate(raw, PrepareConfig()).series
    assert found.zone == "Asia/Shanghai"
    assert found.step_ns == 300 * 10**9
    assert str(np.datetime64(int(found.timestamps[0]), "ns"))[:16] == "2024-03-03T16:00"


def test_unknown_tags_and_impossible_settings() -> None:
    with pytest.raises(SourceError, match=r"no tag 'FI_99999A\.PV'"):
        PlantSource(PlantConfig(units=1)).read("FI_99999A.PV")
    cases: list[dict[str, Any]] = [
        {"units": 0},
        {"days": -1.0},
        {"days": 0.1},
        {"clean_share": 1.5},
        {"seed": -1},
        {"start": "yesterday"},
        {"start": "2024-03-04T00:00:00"},
        {"zone": "Mars/Olympus"},
    ]
    for case in cases:
        with pytest.raises(ConfigError, match="source"):
            PlantConfig(**case)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(48, 600), st.sampled_from([60, 300, 3600]))
def test_any_plant_is_valid(seed: int, n_rows: int, step_s: int) -> None:
    source = PlantSource(
        PlantConfig(seed=seed, units=1, days=n_rows * step_s / 86_400, step_s=step_s)
    )
    for name in source.list()[:4]:
        found = validate(source.read(name), PrepareConfig(min_rows=1))
        assert found.intervals is not None


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", sorted(set(KINDS) - {"contextual", "frequency_change"}))
def test_a_fault_changes_its_rows_and_no_others(label: str) -> None:
    rng = np.random.default_rng(3)
    before = 0.5 + 0.01 * rng.standard_normal(400)
    after = before.copy()
    draw(rng, after, Fault(label, 100, 139, 8.0), 0.01)
    assert (after[:100] == before[:100]).all()
    assert (after[140:] == before[140:]).all()
    start, end = trim(before, after, 100, 139, 1e-9)
    assert 100 <= start <= end <= 139
    change = (after - before)[100:140]
    match label:
        case "upward_spike" | "step_up":
            assert change.max() == pytest.approx(0.08)
            assert change.min() > 0
        case "downward_spike" | "step_down":
            assert change.min() == pytest.approx(-0.08)
            assert change.max() < 0
        case "double_spike" | "oscillation" | "variance_change":
            assert change.max() > 0.02
            assert change.min() < -0.02
        case "flatline":
            assert (after[100:140] == before[99]).all()
        case "dropout":
            assert after[100:140].max() < 0.1


def test_trimming_an_invisible_change_leaves_nothing() -> None:
    same = np.zeros(20)
    assert trim(same, same, 5, 9, 0.0) == (5, 4)


def test_there_may_be_no_free_rows() -> None:
    rng = np.random.default_rng(0)
    assert free_rows(rng, np.ones(100, dtype=bool), 5, 3) is None
    assert free_rows(rng, np.zeros(10, dtype=bool), 9, 3) is None
    start = free_rows(rng, np.zeros(100, dtype=bool), 5, 3)
    assert start is not None
    assert 3 <= start <= 92
