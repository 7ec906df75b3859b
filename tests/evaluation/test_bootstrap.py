import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsloop.errors import EvaluationError
from tsloop.evaluation.bootstrap import Estimate, group_bootstrap, paired_bootstrap


def ratio(sums):
    with np.errstate(invalid="ignore"):
        return sums[:, 0] / sums[:, 1]


def table(n, seed=0):
    rng = np.random.default_rng(seed)
    whole = rng.integers(1, 9, n)
    return np.column_stack((rng.binomial(whole, 0.6), whole)), [f"g{i % 12}" for i in range(n)]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_interval_holds_the_value_and_stays_in_bounds(seed):
    counts, groups = table(60, seed)
    found = group_bootstrap(counts, groups, ratio, n_bootstrap=300)
    assert found.decided
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0
    assert found.value == pytest.approx(counts[:, 0].sum() / counts[:, 1].sum())
    assert found.n_groups == 12


def test_is_deterministic_and_blind_to_the_order_of_series():
    counts, groups = table(40)
    one = group_bootstrap(counts, groups, ratio, seed=3)
    order = np.random.default_rng(1).permutation(40)
    shuffled = group_bootstrap(counts[order], [groups[i] for i in order], ratio, seed=3)
    assert shuffled == one
    assert group_bootstrap(counts, groups, ratio, seed=4) != one


def test_wider_confidence_is_wider_and_more_groups_are_narrower():
    rng = np.random.default_rng(0)
    counts = np.column_stack((rng.integers(0, 2, 400), np.ones(400)))
    groups = [str(i) for i in range(400)]
    wide = group_bootstrap(counts[:50], groups[:50], ratio, confidence=0.99)
    narrow = group_bootstrap(counts[:50], groups[:50], ratio, confidence=0.5)
    many = group_bootstrap(counts, groups, ratio, confidence=0.99)
    assert narrow.high - narrow.low < wide.high - wide.low
    assert many.high - many.low < 0.6 * (wide.high - wide.low)
    # the spread of a mean of coin flips is known
    assert many.std_error == pytest.approx(0.5 / 20, rel=0.15)


def test_whole_groups_are_drawn():
    counts = np.array([[1, 1]] * 50 + [[0, 1]] * 50)
    single = group_bootstrap(counts, [str(i) for i in range(100)], ratio)
    tied = group_bootstrap(counts, [str(i // 10) for i in range(100)], ratio)
    assert tied.std_error > 2.5 * single.std_error


def test_pairs_cancel_what_both_share():
    counts, groups = table(60)
    same = paired_bootstrap(counts, counts, groups, ratio)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    better = counts.copy()
    better[:, 0] = np.minimum(better[:, 0] + 1, better[:, 1])
    gain = paired_bootstrap(better, counts, groups, ratio)
    loss = paired_bootstrap(counts, better, groups, ratio)
    assert gain.low > 0.0
    assert (loss.value, loss.low, loss.high) == pytest.approx(
        (-gain.value, -gain.high, -gain.low), abs=1e-12
    )
    alone = group_bootstrap(better, groups, ratio)
    assert gain.high - gain.low < alone.high - alone.low


def test_too_few_groups_have_no_interval():
    counts, _ = table(8)
    four = group_bootstrap(counts, list("abcdabcd"), ratio)
    assert not four.decided
    assert four.std_error is not None
    assert four.value is not None
    one = group_bootstrap(counts, ["a"] * 8, ratio)
    assert one == Estimate(one.value, n_groups=1)


def test_undefined_figures_are_none_not_nan():
    nothing = np.zeros((6, 2))
    assert group_bootstrap(nothing, list("abcdef"), ratio) == Estimate(None, n_groups=6)
    assert group_bootstrap(np.empty((0, 2)), [], ratio) == Estimate(None)
    # a draw that misses the only group with events is left out
    rare = np.zeros((6, 2))
    rare[0] = 1, 2
    found = group_bootstrap(rare, list("abcdef"), ratio)
    assert (found.low, found.high) == (0.5, 0.5)
    missed = [
        group_bootstrap(rare, list("abcdef"), ratio, n_bootstrap=1, seed=seed) for seed in range(9)
    ]
    assert Estimate(0.5, n_groups=6) in missed


def test_impossible_input_is_refused():
    counts, groups = table(6)
    with pytest.raises(EvaluationError, match="one row per series"):
        group_bootstrap(counts, groups[:3], ratio)
    with pytest.raises(EvaluationError, match="same series"):
        paired_bootstrap(counts, counts[:3], groups, ratio)
    with pytest.raises(EvaluationError, match="n_bootstrap >= 1"):
        group_bootstrap(counts, groups, ratio, n_bootstrap=0)
