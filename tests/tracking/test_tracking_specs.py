"""Plain values for runs: names and sizes MLflow takes, nothing that is not finite."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from tsloop.tracking.iterations import iteration_settings
from tsloop.tracking.sources import Sources
from tsloop.tracking.specs import (
    DIGEST_CHARS,
    MAX_PARAM_CHARS,
    clipped,
    content_key,
    curve_figures,
    digest,
    finite,
    flatten,
    metric_name,
    scorecard_figures,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=300), plain, max_size=5))
def test_flattened_settings_always_fit(config: dict[str, object]) -> None:
    for key, value in flatten(config).items():
        assert len(key) <= 250
        assert re.fullmatch(r"[\w./ -]+", key)
        assert not key.startswith("/")
        assert len(value) <= MAX_PARAM_CHARS


def test_nested_keys_are_joined_and_values_are_json() -> None:
    config = {"a": {"b": 1, "c": {"d": True}}, "e": [1, 2], "f": "text", "g": None, "h": {}}
    assert flatten(config) == {
        "a.b": "1",
        "a.c.d": "true",
        "e": "[1, 2]",
        "f": "text",
        "g": "null",
        "h": "{}",
    }


def test_a_list_of_two_thousand_points_is_cut_with_its_hash() -> None:
    (value,) = flatten({"points": [i / 7 for i in range(2000)]}).values()
    assert len(value) <= MAX_PARAM_CHARS
    assert "sha256" in value
    assert value != flatten({"points": [i / 7 for i in range(2001)]})["points"]


@given(st.text(), st.integers(min_value=120, max_value=400))
def test_clipped_text_fits_and_short_text_stays(text: str, limit: int) -> None:
    assert len(clipped(text, limit)) <= limit
    if len(text) <= limit:
        assert clipped(text, limit) == text


def test_names_keep_letters_of_any_script() -> None:
    assert metric_name("label/毛刺/recall") == "label/毛刺/recall"
    assert metric_name("a:b\n..//c") == "a_b__/c"
    assert metric_name("") == "_"


def test_a_digest_is_dvcs_or_the_head_of_a_hash() -> None:
    md5, sha = "a" * 32 + ".dir", "b" * 64
    assert digest(md5, sha) == md5
    assert digest("", sha) == "b" * DIGEST_CHARS
    assert digest("", "") == "unknown"


@given(st.dictionaries(st.text(), st.floats() | st.booleans() | st.text() | st.none()))
def test_only_finite_numbers_pass(values: dict[str, object]) -> None:
    numbers, undefined = finite(values)
    assert all(math.isfinite(value) for value in numbers.values())
    floats = {key for key, value in values.items() if isinstance(value, float)}
    assert numbers.keys() | undefined.keys() == floats


def test_a_scorecard_gives_values_bounds_and_reasons() -> None:
    metrics, tags = scorecard_figures(
        {
            "metrics": {"event_f1": 0.5, "auc_pr": math.inf},
            "undefined": {"vus_pr": "no positives"},
            "intervals": {"event_f1": (0.4, math.nan)},
            "per_label": {"spike": {"recall": 1.0}},
        }
    )
    assert {m.name: m.value for m in metrics} == {
        "event_f1": 0.5,
        "event_f1.low": 0.4,
        "label/spike/recall": 1.0,
    }
    assert tags == {
        "tsloop.undefined.auc_pr": "not finite: inf",
        "tsloop.undefined.vus_pr": "no positives",
    }


def test_a_curve_has_a_value_per_step_and_says_what_it_lost() -> None:
    rows = [{"step": 1, "steps": 3, "loss": 0.5}, {"step": 2, "loss": math.nan}, {"loss": 0.1}]
    metrics, tags = curve_figures(rows)
    assert [(m.name, m.value, m.step) for m in metrics] == [
        ("training/loss", 0.5, 1),
        ("training/loss", 0.1, 2),
    ]
    assert tags == {"tsloop.undefined.training/loss": "not finite in 1 steps"}


def test_settings_do_not_carry_the_iterations_name() -> None:
    config = {
        "fits": {"it002-chatts": {"rank": 8}, "it002-knn": {"k": 5}},
        "datasets": {"it002": {"seed": 0}},
        "source": {"kind": "plant"},
        "empty": {},
    }
    common = {"datasets": {"seed": 0}, "source": {"kind": "plant"}, "empty": {}}
    every = {"fits": {"chatts": {"rank": 8}, "knn": {"k": 5}}}
    assert iteration_settings(config, "it002") == common | every
    assert iteration_settings(config, "it002", "chatts") == common | {"fits": {"rank": 8}}


def test_a_missing_file_is_forgiven_and_a_different_one_is_not() -> None:
    full = Sources("e" * 64, {"a": "1" * 64, "b": "2" * 64})
    tags = full.tags()
    assert full.matches(tags)
    assert Sources("e" * 64, {"a": "1" * 64}).matches(tags)
    assert not Sources("e" * 64, {"a": "3" * 64}).matches(tags)
    assert not Sources("e" * 64, {"c": "1" * 64}).matches(tags)
    assert not Sources("f" * 64, {"a": "1" * 64}).matches(tags)


def test_content_keys_do_not_depend_on_order() -> None:
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})
