"""Prompts, and answers that survive being written and read."""

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsloop.errors import ConfigError, LabelSetError
from tsloop.grammar import (
    LANGUAGES,
    PLACEHOLDER,
    PROMPT_VERSION,
    parse_answer,
    render_answer,
    render_prompt,
    shown_values,
)
from tsloop.intervals import Interval, Status
from tsloop.labels import builtin_label_set

LABELS = builtin_label_set()
N_ROWS = 500


@st.composite
def interval_lists(draw: st.DrawFn) -> list[Interval]:
    keys = draw(
        st.lists(
            st.tuples(
                st.integers(0, N_ROWS - 1), st.integers(0, N_ROWS - 1), st.sampled_from(LABELS.ids)
            ).map(lambda k: (min(k[:2]), max(k[:2]), k[2])),
            unique=True,
            max_size=8,
        )
    )
    return [Interval(*key, reason=draw(st.text(max_size=20))) for key in sorted(keys)]


@given(interval_lists())
def test_an_answer_reads_back_as_it_was_written(intervals: list[Interval]) -> None:
    text = render_answer(intervals, LABELS)
    answer = parse_answer(text, N_ROWS, LABELS)
    assert list(answer.intervals) == intervals
    assert answer.status is (Status.OK if intervals else Status.NONE)
    assert answer.form == "ok"
    assert answer.trusted
    assert len(text.splitlines()) == 1
    assert "<" not in text
    assert json.loads(text) is not None


@given(interval_lists(), st.integers(0, 400))
def test_a_cut_answer_gives_whole_items_only(intervals: list[Interval], cut: int) -> None:
    text = render_answer(intervals, LABELS)
    answer = parse_answer(text[:cut], N_ROWS, LABELS)
    assert set(answer.intervals) <= set(intervals)
    if cut < len(text):
        assert answer.status is not Status.NONE
        assert not answer.trusted


def test_the_literal_form() -> None:
    intervals = [Interval(9, 12, "step_up", reason="更高的水平"), Interval(3, 3, "dropout")]
    assert render_answer(intervals, LABELS) == (
        '[{"interval":[3,3],"label":"dropout"},'
        '{"interval":[9,12],"label":"step_up","reason":"更高的水平"}]'
    )
    assert render_answer([], LABELS) == "[]"


def test_a_reason_cannot_carry_a_control_token() -> None:
    reason = "level of <ts><ts/> drops<|im_end|>\u2028next"
    text = render_answer([Interval(1, 2, "anomaly", reason=reason)], LABELS)
    assert "<" not in text
    assert "\u2028" not in text
    assert parse_answer(text, 10, LABELS).intervals[0].reason == reason


def test_an_unknown_label_is_not_written() -> None:
    with pytest.raises(LabelSetError, match="'glitch' is not in label set tsloop@1"):
        render_answer([Interval(1, 2, "glitch")], LABELS)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_prompt_names_rows_labels_and_the_form(language: str) -> None:
    prompt = render_prompt(1024, LABELS, language)
    assert prompt.count(PLACEHOLDER) == 1
    assert "1024" in prompt
    assert "1023" in prompt
    assert all(label.id in prompt for label in LABELS.labels)
    assert "{{" not in prompt
    assert "[]" in prompt
    assert render_prompt(1024, LABELS, language, n_missing=7) != prompt
    assert "7" in render_prompt(1024, LABELS, language, n_missing=7)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_echo_of_the_prompt_is_no_answer(language: str) -> None:
    prompt = render_prompt(1024, LABELS, language)
    assert parse_answer(prompt, 1024, LABELS).status is Status.FAILED


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ConfigError, match="'fr' is unknown"):
        render_prompt(10, LABELS, "fr")


def test_the_templates_are_those_of_the_version() -> None:
    """What a model was trained on must not change under the same version."""
    prompts = json.loads((Path(__file__).parent / "prompts.json").read_text("utf-8"))
    assert PROMPT_VERSION == "intervals-1"
    for name, text in prompts.items():
        language, missing = name.split("-")
        assert render_prompt(300, LABELS, language, int(missing)) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_templates_are_files_of_the_package(language: str) -> None:
    for part in ("", "gaps."):
        name = f"prompts/{PROMPT_VERSION}.{part}{language}.txt"
        assert resources.files("tsloop").joinpath(name).is_file()


def test_shown_values_keep_a_millionth_of_the_range() -> None:
    values = np.array([0.123456789123, 1000.0, -3.00000000001])
    shown = shown_values(values)
    assert shown == [0.123, 1000.0, -3.0]
    assert np.abs(np.array(shown) - values).max() <= np.ptp(values) * 1e-6
    assert shown_values(np.array([0.1 + 0.2, 0.1 + 0.2])) == [0.1 + 0.2] * 2
