from __future__ import annotations

import numpy as np
import pytest

from tsloop.detectors.trees import MAX_EDGES, Bins, TreeTable
from tsloop.errors import DetectorError


@pytest.fixture(scope="module")
def fitted():
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 6)).astype(np.float32)
    features[:, 4] = rng.integers(0, 3, 3000)
    features[:, 5] = 1.0
    truth = features[:, 0] + features[:, 1] ** 2 + features[:, 4] + rng.normal(size=3000) > 2
    bins = Bins.of(features)
    model = HistGradientBoostingClassifier(
        max_iter=20, max_leaf_nodes=32, early_stopping=False, random_state=0
    )
    with threadpool_limits(1):
        model.fit(bins.codes(features), truth)
    return model, bins, features, truth


def test_predicts_exactly_what_sklearn_predicts(fitted):
    model, bins, features, truth = fitted
    trees = TreeTable.from_sklearn(model, bins)
    new = np.random.default_rng(1).normal(size=(20_000, 6)).astype(np.float32)
    for table in (features, new, features[:1], features[:0]):
        if len(table):
            expected = model._raw_predict(bins.codes(table)).ravel()
            assert np.array_equal(trees.log_odds(table), expected)
        assert trees.probability(table).shape == (len(table),)
    probability = trees.probability(features)
    assert ((probability > 0.5) == truth).mean() > 0.85


def test_values_on_and_beside_an_edge_keep_their_side(fitted):
    model, bins, features, _ = fitted
    trees = TreeTable.from_sklearn(model, bins)
    rows = np.repeat(features[:1], 3 * len(trees.threshold), axis=0)
    for number, (feature, threshold) in enumerate(zip(trees.feature, trees.threshold, strict=True)):
        for step, toward in enumerate((-np.inf, threshold, np.inf)):
            rows[3 * number + step, feature] = np.nextafter(threshold, np.float32(toward))
    assert np.array_equal(trees.log_odds(rows), model._raw_predict(bins.codes(rows)).ravel())


def test_codes_follow_the_values(fitted):
    _, bins, features, _ = fitted
    codes = bins.codes(features)
    assert all(len(edges) <= MAX_EDGES for edges in bins.edges)
    for column in range(features.shape[1]):
        edges, cut = bins.edges[column], len(bins.edges[column]) // 2
        assert np.array_equal(codes[:, column] <= cut, features[:, column] <= edges[cut])


def test_arrays_hold_everything(fitted):
    model, bins, features, _ = fitted
    trees = TreeTable.from_sklearn(model, bins)
    again = TreeTable.from_arrays(trees.arrays())
    assert np.array_equal(again.log_odds(features), trees.log_odds(features))


def test_arrays_that_do_not_fit_together_are_refused(fitted):
    model, bins, features, _ = fitted
    trees = TreeTable.from_sklearn(model, bins)
    with pytest.raises(DetectorError, match="6 features"):
        trees.log_odds(features[:, :5])
    for key, value in (
        ("feature", trees.feature + 6),
        ("tree", trees.tree[::-1].copy()),
        ("struck", trees.struck[:-1]),
    ):
        with pytest.raises(DetectorError):
            TreeTable.from_arrays(trees.arrays() | {key: value})
