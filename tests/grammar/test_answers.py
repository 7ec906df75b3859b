"""What models make of the grammar, and how it is read."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tsloop.answers import FLAGS
from tsloop.grammar import parse_answer, render_answer
from tsloop.intervals import Interval, Status
from tsloop.labels import LabelSet, builtin_label_set

LABELS = builtin_label_set()
TABLE = json.loads((Path(__file__).parent / "answers.json").read_text("utf-8"))


def check(row: dict) -> None:
    answer = parse_answer(row["raw"], row["n"], LABELS)
    assert str(answer.status) == row["status"]
    assert [[i.start, i.end] for i in answer.intervals] == (row["intervals"] or [])
    assert set(answer.flags) == set(row["flags"])
    assert answer.raw == row["raw"]
    if "labels" in row:
        assert [i.label for i in answer.intervals] == row["labels"]


@pytest.mark.parametrize("row", TABLE, ids=[row["id"] for row in TABLE])
def test_table(row: dict) -> None:
    check(row)


def test_shared_table() -> None:
    folder = os.environ.get("TSLOOP_TEST_SAMPLES")
    if not folder:
        pytest.skip("TSLOOP_TEST_SAMPLES names no folder of samples")
    rows = json.loads((Path(folder) / "parser" / "malformed_outputs.json").read_text("utf-8"))
    assert len(rows) > 40
    for row in rows:
        check(row)


def test_forms_and_trust() -> None:
    def form(text: str) -> tuple[str, bool]:
        answer = parse_answer(text, 100, LABELS)
        return answer.form, answer.trusted

    assert form('[{"interval":[1,2],"label":"step_up"}]') == ("ok", True)
    assert form("[{'interval':[1,2],'label':'step_up'}]") == ("repaired", True)
    assert form('[{"interval":[1,2]},{"interval":[') == ("truncated", False)
    assert form('[{"interval":[1,200]}]') == ("repaired", False)
    assert form("I am not able to tell.") == ("failed", False)


def test_labels_are_known_by_any_of_their_names() -> None:
    texts = ["step_up", "阶跃上升", "Step Up", "step up", "上行尖峰", "", "smudge"]
    items = [{"interval": [i, i], "label": text} for i, text in enumerate(texts)]
    answer = parse_answer(json.dumps(items), 100, LABELS)
    assert [i.label for i in answer.intervals] == [
        *["step_up"] * 4,
        "upward_spike",
        "anomaly",
        "anomaly",
    ]
    assert answer.unknown_labels == ("smudge",)


def test_an_empty_label_set_still_gives_intervals() -> None:
    answer = parse_answer('[{"interval":[1,2]}]', 9, LabelSet("empty", 1, ()))
    assert answer.intervals == (Interval(1, 2, "anomaly"),)


def test_statements_on_the_whole_series_are_kept_apart() -> None:
    answer = parse_answer('[{"interval":[1,2]},{"type":"全局属性","reason":"低频"}]', 9, LABELS)
    assert answer.overall == {"text": "低频"}
    assert len(answer.intervals) == 1


def test_detections_are_three_valued() -> None:
    assert parse_answer("[]", 9, LABELS).to_detection().status is Status.NONE
    assert parse_answer("[[1,2]]", 9, LABELS).to_detection().status is Status.OK
    failed = parse_answer("Sorry!", 9, LABELS).to_detection()
    assert failed.status is Status.FAILED
    assert "Sorry!" in failed.reason


fragments = st.sampled_from(
    [
        *"[]{}()\"',:<>\\/#（）【】“”\n ",
        '{"interval":[1,2]}',
        '{"range": [5, ',
        "anomalies = [",
        "```json\n",
        "```",
        "无异常",
        "None",
        "1e999",
        "-7",
        "12.5",
        "999999999999999999999999",
        "\\ud800",
        "\\u00e9",
        "/*",
        "//",
        "<think>",
    ]
)
noise = st.one_of(st.text(max_size=40), st.lists(fragments, max_size=25).map("".join))


@settings(max_examples=400, deadline=None)
@given(noise, st.integers(0, 50))
@example("[" * 5000, 10)
@example('{"a":' * 5000, 10)
@example("1" * 6000 + "]", 10)
@example("[" + "1" * 6000 + ", 2]", 10)
def test_nothing_makes_it_raise_or_leave_the_rows(text: str, n_rows: int) -> None:
    answer = parse_answer(text, n_rows, LABELS)
    assert answer.raw == text
    assert (answer.status is Status.OK) == bool(answer.intervals)
    assert all(0 <= i.start <= i.end < n_rows for i in answer.intervals)
    assert set(answer.flags) <= set(FLAGS)
    answer.to_detection()
    render_answer(answer.intervals, LABELS).encode("utf-8")


@pytest.mark.parametrize("reason", ["```[1]```", "<think>[2]", "anomalies = [", "a ``` { b"])
def test_what_a_reason_quotes_is_part_of_the_reason(reason: str) -> None:
    text = json.dumps([{"interval": [3, 4], "label": "step_up", "reason": reason}])
    answer = parse_answer(text, 9, LABELS)
    assert answer.intervals == (Interval(3, 4, "step_up", reason=reason),)
    assert answer.flags == ()


NONE_TEXTS = ["[]", "[ ]", '{"anomalies":[]}', "无异常", "No anomalies.", '[{"type":"无异常"}]']
REFUSALS = ["Sorry, I cannot help with that", "抱歉，我无法判断", "I am unable to see the series"]
plain = st.text(alphabet=st.characters(categories=["L", "Zs"]), max_size=30)


@given(st.sampled_from(NONE_TEXTS), st.sampled_from(["", " ", "\n\n"]), st.booleans())
def test_an_explicit_none_is_none(text: str, space: str, fenced: bool) -> None:
    fenced &= "[" in text
    answer = parse_answer(f"{space}```json\n{text}\n```" if fenced else space + text, 50, LABELS)
    assert answer.status is Status.NONE


@given(st.sampled_from(REFUSALS), plain, st.sampled_from(["", " []", ' {"anomalies": []}']))
def test_a_refusal_is_a_failure(refusal: str, more: str, claim: str) -> None:
    assert parse_answer(f"{refusal} {more}{claim}", 50, LABELS).status is Status.FAILED


def test_repairs_are_named() -> None:
    def repairs(text: str) -> tuple[str, ...]:
        return parse_answer(text, 100, LABELS).repairs

    assert repairs('[{"interval":[1,2]}]') == ()
    assert repairs("{'interval': [1, 2], 'type': 'step_up'}") == ("quotes",)
    assert repairs('{"interval":[1,2]},{"interval":[4,5]}') == ("joined",)
    assert repairs('（"range": [10, 20]）') == ()  # no bracket that data may begin with: prose
    assert repairs('［｛"range": [10, 20]｝］') == ("brackets",)
    assert repairs('[{"interval":[1,2],"type":None,}] // done') == ("commas", "literals")


def test_without_a_label_set_labels_stay_as_they_were_written() -> None:
    text = '[{"interval":[1,2],"type":"点异常"},{"interval":[3,4],"type":" ChatTS "},[7,8]]'
    answer = parse_answer(text, 9, None)
    assert [i.label for i in answer.intervals] == ["点异常", "ChatTS"]
    assert answer.unknown_labels == ()
