"""Each check finds what it is for, and leaves alone what is in order."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from labelled_samples import make_series, record_of

from tsloop.annotations.checks.config import ALWAYS, CHECKS, ChecksConfig, action_of
from tsloop.annotations.checks.contents import fingerprint, near_gold, values_sha256
from tsloop.annotations.checks.drift import drift, label_drift
from tsloop.annotations.checks.edges import change_near, far_edges
from tsloop.annotations.checks.findings import Finding, ordered
from tsloop.annotations.checks.records import contradictions, overlaps
from tsloop.annotations.checks.second import first_judgements, low_agreement, second_opinions
from tsloop.annotations.dataset import check_leaks, find_leaks
from tsloop.annotations.gold import GoldSet
from tsloop.annotations.journal import write_journal
from tsloop.annotations.snapshot import Snapshot
from tsloop.errors import AnnotationError, ConfigError, LeakError
from tsloop.evaluation.agreement import Reading, compare_readings
from tsloop.intervals import Interval
from tsloop.labels import Label, LabelSet, builtin_label_set
from tsloop.series.types import Role, Series

LABELS = builtin_label_set()
WITH_NORMAL = LabelSet("tsloop", 1, (*LABELS.labels, Label("calm", "正常", "calm", group="normal")))
A, B = make_series("a"), make_series("b")


def far(values: np.ndarray, start: int, end: int) -> list[Finding]:
    return list(far_edges("s", values, [Interval(start, end, "step_up")], 10, 0.5))


@pytest.fixture
def step() -> np.ndarray:
    """Noise with a plateau in rows 200 to 239."""
    values = np.random.default_rng(0).normal(size=600)
    values[200:240] += 12.0
    return values


def test_edges_near_the_change_are_in_order(step) -> None:
    assert far(step, 200, 239) == []
    assert far(step, 192, 247) == [], "an edge may be off by ten rows"


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [(120, 239, "only"), (230, 239, "already"), (250, 280, "beside it")],
)
def test_edges_far_from_the_change_are_found(step, start, end, words) -> None:
    (found,) = far(step, start, end)
    assert words in found.what
    assert "200 to 239" in found.what


def test_a_label_without_any_change_has_no_edge_to_compare_with(step) -> None:
    assert change_near(step, Interval(450, 460)) is None
    assert far(step, 450, 460) == []


@given(start=st.integers(0, 599), length=st.integers(1, 600), seed=st.integers(0, 5))
def test_edges_of_any_interval_can_be_looked_at(start, length, seed) -> None:
    values = np.random.default_rng(seed).normal(size=600)
    change = change_near(values, Interval(start, min(599, start + length - 1)))
    assert change is None or 0 <= change[0] <= change[1] < 600


def test_normal_over_an_anomaly_is_a_contradiction_from_one_row_on() -> None:
    record = record_of(A, (0, 99, "calm"), (99, 120, "step_up"))
    (found,) = contradictions([record], WITH_NORMAL)
    assert (found.start, found.end) == (99, 99)
    assert "normal" in found.what
    assert list(overlaps([record], WITH_NORMAL)) == [], "it is named once"


def test_two_kinds_that_share_few_rows_only_overlap() -> None:
    record = record_of(A, (0, 50, "step_up"), (50, 120, "oscillation"))
    assert list(contradictions([record], LABELS)) == []
    (found,) = overlaps([record], LABELS)
    assert (found.start, found.end) == (50, 50)


def test_drift_needs_both_distance_and_certainty() -> None:
    def labelled(*labels: str) -> list:
        spans = [(10 * k, 10 * k + 3, label) for k, label in enumerate(labels)]
        return [record_of(A, *spans)]

    spikes, steps = labelled(*["upward_spike"] * 20), labelled(*["step_up"] * 20)
    (found,) = drift(steps, spikes, 0.3, 0.01)
    assert found.series_id == ""
    assert "upward_spike" in found.what or "step_up" in found.what
    assert list(drift(spikes, spikes, 0.3, 0.01)) == []
    assert list(drift(labelled("step_up"), labelled("upward_spike"), 0.3, 0.01)) == []
    assert label_drift({"x": 3}, {}) is None


def test_series_that_suddenly_have_no_anomalies_are_a_drift() -> None:
    quiet = [record_of(make_series(f"q{k}", 60)) for k in range(20)]
    loud = [record_of(make_series(f"l{k}", 60), (1, 2, "step_up")) for k in range(20)]
    (found,) = drift(quiet, loud, 0.3, 0.01)
    assert "without an anomaly" in found.what


def test_values_keep_their_hash_under_other_times() -> None:
    later = Series("later", A.timestamps + 10**15, A.values)
    assert later.sha256 != A.sha256
    assert values_sha256(later) == values_sha256(A) != values_sha256(B)
    gap = A.values.copy()
    gap[5] = np.nan
    assert values_sha256(Series("g", A.timestamps, gap)) != values_sha256(A)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_constant_series_are_alike_by_chance(value) -> None:
    assert values_sha256(make_series("flat", values=np.full(60, value))) == ""


def test_gold_is_found_by_values_whatever_its_name_and_times(make_store) -> None:
    gold = make_series("gold", role=Role.GOLD, seed=7)
    again = Series("again", gold.timestamps + 3600 * 10**9, gold.values, group="elsewhere")
    store = make_store([A, gold, again])
    records = {"a": record_of(A), "again": record_of(again)}
    nothing = GoldSet({}, 0, "", frozenset())
    assert list(find_leaks(records, store, nothing)) == ["again"]
    snapshot = Snapshot(records, dict.fromkeys(records, "it001"), "", LABELS.ref)
    with pytest.raises(LeakError, match="values of the gold series gold, at other times"):
        check_leaks(snapshot, store, nothing)


def test_what_resembles_gold_is_found() -> None:
    gold = make_series("gold", role=Role.GOLD, seed=7)
    near = Series("near", A.timestamps, gold.values * 2 + 1e-4 * B.values)
    prints = {"near": fingerprint(near), "a": fingerprint(A)}
    records = {"near": record_of(near), "a": record_of(A)}
    found = list(near_gold(records, prints, {"gold": gold}, 0.9995))
    assert [f.series_id for f in found] == ["near"]


def test_every_check_has_a_text_and_an_action() -> None:
    config = ChecksConfig()
    assert [action_of(config, name) for name in ALWAYS] == ["stop", "stop"]
    for name, text in CHECKS.items():
        assert action_of(config, name) in ("warn", "stop")
        assert text.en
        assert text.zh


def test_a_wrong_action_says_what_was_meant() -> None:
    with pytest.raises(ConfigError, match=r"checks\.drift is 'stopp'") as caught:
        ChecksConfig(drift="stopp")
    assert "stop" in caught.value.hint
    with pytest.raises(ConfigError) as caught:
        ChecksConfig(drift=False)  # what YAML makes of a bare off
    assert "quotes" in caught.value.hint
    for wrong in ({"max_drift": 2.0}, {"min_kappa": -2.0}, {"edge_rows": -1}):
        with pytest.raises(ConfigError, match=r"checks\."):
            ChecksConfig(**wrong)


def test_findings_come_in_the_order_of_the_checks() -> None:
    some = [
        Finding("drift", "", "x"),
        Finding("overlaps", "b", "y", 4, 5),
        Finding("bounds", "z", ""),
    ]
    assert [f.check for f in ordered(some)] == ["bounds", "overlaps", "drift"]
    assert str(some[1]) == "b [4, 5]: y"


def test_agreement_of_two_journals(tmp_path: Path, make_store) -> None:
    store = make_store([A, B])
    mine, yours = tmp_path / "1.jsonl", tmp_path / "2.jsonl"
    # Revision 2 was made when both had been compared: what counts is what each said alone.
    write_journal(
        mine,
        [
            record_of(A, (10, 59, "step_up")),
            record_of(A, (400, 449, "step_up"), revision=2),
            record_of(B),
        ],
    )
    write_journal(yours, [record_of(A, (400, 449, "step_up"))])
    (found,) = second_opinions(mine, yours, store, LABELS, ChecksConfig())
    assert "over 1 series" in found.what
    assert "at least 0.7" in found.what
    assert not [*second_opinions(mine, yours, store, LABELS, ChecksConfig(min_kappa=-1.0))]
    other = record_of(A).replace(series_sha256="0" * 64)
    write_journal(yours, [other])
    with pytest.raises(AnnotationError):
        list(second_opinions(mine, yours, store, LABELS, ChecksConfig()))


def test_agreement_that_nobody_can_compute_is_no_finding() -> None:
    nothing = compare_readings([Reading("a", 10, (), ())])
    assert list(low_agreement(nothing, 0.7)) == []
    assert first_judgements([]) == {}
