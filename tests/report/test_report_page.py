"""The page: self-contained, well-formed, safe, the same every time, honest where numbers lack."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from fake_report import HOSTILE, FakeCard, all_failed, card, hostile, realistic

from tsloop.annotations.checks.config import CHECKS
from tsloop.errors import ConfigError
from tsloop.evaluation.scorecard import Scorecard, score_series
from tsloop.intervals import Detection, Interval
from tsloop.report.build import render_report
from tsloop.report.data import CaseData, HistoryPoint, ReportData, Verdict
from tsloop.report.label_checks import check_blocks, without_checks
from tsloop.report.tables import wilson

VOID = {"meta", "input", "br"}
ALLOWED = {
    *(
        "html",
        "head",
        "title",
        "style",
        "body",
        "div",
        "header",
        "main",
        "section",
        "nav",
        "footer",
    ),
    *("span", "label", "a", "p", "h1", "h2", "h3", "h4", "ul", "li", "dl", "dt", "dd", "i", "pre"),
    *("table", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary"),
    *("svg", "g", "path", "rect", "text", *VOID),
}
REPORTS = {
    "realistic": realistic,
    "empty": lambda: ReportData("it001"),
    "all_failed": all_failed,
    "hostile": hostile,
    "failure_only": lambda: ReportData("it001", failures={"chatts": "no memory"}),
}


class Checker(HTMLParser):
    """Every element is known and closed in order; no attribute runs or loads anything."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        for name, value in attrs:
            assert not name.startswith("on"), (tag, name)
            assert name not in {"src", "srcset", "action", "xlink:href", "data"}, (tag, name)
            if name == "href":
                self.links.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            if name == "style":
                assert "url" not in (value or ""), value
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parse(page: str) -> Checker:
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert checker.open == []
    return checker


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_is_well_formed_and_loads_nothing(name: str, language: str) -> None:
    page = render_report(REPORTS[name](), language=language)
    checker = parse(page)
    assert "http:" not in page
    assert "https:" not in page
    assert "src=" not in page.replace("&lt;img src=x", "")
    assert not re.search(r"url\(|@import|<script|javascript:", page)
    assert len(set(checker.ids)) == len(checker.ids)
    assert all(link.startswith("#") and link[1:] in checker.ids for link in checker.links)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert f'id="lang-{language}" aria-label' in page
    assert len(re.findall(r"<input[^>]* checked>", page)) == 1


@pytest.mark.parametrize("name", REPORTS)
def test_same_data_same_bytes(name: str) -> None:
    assert render_report(REPORTS[name]()) == render_report(REPORTS[name]())


@pytest.mark.parametrize("name", REPORTS)
def test_no_number_is_drawn_or_written_as_nan(name: str) -> None:
    page = render_report(REPORTS[name]())
    assert not re.search(r"(?<![a-z])(nan|inf|None)(?![a-z])", page.split("</style>")[1])


def test_hostile_names_are_text() -> None:
    page = render_report(hostile())
    assert "<img" not in page
    assert "&lt;img" in page
    assert not set(HOSTILE) & set(page) - set('<img src=x onerror="alert(1)">')
    page.encode("utf-8")


def test_order_of_mappings_does_not_change_the_tables() -> None:
    data = realistic()
    turned = replace(data, variants=dict(reversed(list(data.variants.items()))))
    assert render_report(turned) == render_report(data)


def test_a_difference_near_nothing_asks_for_no_gold() -> None:
    data = realistic()
    verdicts = {n: replace(v, more_groups=1492) for n, v in data.verdicts.items()}
    text = page_text(replace(data, verdicts=verdicts))
    assert "The difference is too small to be decided by more gold." in text
    assert "1492" not in text


def test_verdict_is_one_sentence() -> None:
    text = page_text(realistic())
    assert "it003/chatts beats it002/chatts: event F1 0.71 (0.66–0.76) against 0.63" in text
    assert "Difference +0.08 (95 % interval +0.02 to +0.13)" in text
    assert "About 30 more gold groups would probably decide it." in text
    assert "it003/chatts 优于 it002/chatts：事件 F1 0.71（0.66–0.76），对比 0.63" in text


def page_text(data: ReportData) -> str:
    text = "".join(parse(render_report(data)).text)
    return text.replace("\N{WORD JOINER}", "").replace("\N{NO-BREAK SPACE}", " ")


def test_lost_first_and_failed_verdicts() -> None:
    base = replace(realistic(), primary="chatts")
    lost = Verdict("lose", "it003/chatts", "it002/knn", value=0.5, reference_value=0.6)
    assert "it003/chatts is worse than it002/knn" in page_text(
        replace(base, verdicts={"it003/chatts": lost})
    )
    first = Verdict("first", "it001/chatts", value=0.5, groups=7)
    text = page_text(replace(base, verdicts={"it003/chatts": first}))
    assert "it001/chatts is the first model measured: event F1 0.50." in text
    assert "Measured on 7 gold groups." in text
    failed = Verdict("failed", "it001/chatts", reason="no memory")
    assert "it001/chatts failed and was not measured." in page_text(
        replace(base, verdicts={"it003/chatts": failed})
    )
    with pytest.raises(ConfigError, match="outcome 'draw' is not known"):
        Verdict("draw", "a")


def test_verdict_on_clicks_is_written_in_percent() -> None:
    verdict = Verdict("win", "a/b", "c/d", "clicks_saved", 0.41, (0.36, 0.46), 0.2)
    text = page_text(replace(realistic(), verdicts={"it003/chatts": verdict}))
    assert "clicks saved +41 % (+36 % … +46 %) against +20 %" in text


def test_failures_are_shown_and_not_scored() -> None:
    page = render_report(realistic())
    assert "NotFittedError" in page
    assert 'colspan="6">✕' in page
    text = page_text(all_failed())
    assert "event F1 is undefined: no positives" in text
    assert "out of memory" in text
    assert "it001 has no measured model yet." in page_text(ReportData("it001"))


def test_best_is_marked_among_models_only() -> None:
    best, worse = card(0.7, 0.3, 1), card(0.5, 0.1, 1)
    data = ReportData(
        "it002",
        "it001",
        variants={"a": worse},
        parent_scorecards={"it001/a": best},
        baselines={"nothing": best},
    )
    page = render_report(data)
    assert page.count('<td class="best"><span class="v">0.700</span>') == 1
    alone = render_report(ReportData("it001", variants={"a": best}))
    assert 'class="best"' not in alone


def test_points_of_another_gold_version_are_left_out() -> None:
    data = ReportData("it002", variants={"a": card(0.5, 0.1, 1)}, gold_version=2)
    old = HistoryPoint("it001", "a", {"event_f1": 0.4}, gold_version=1)
    assert "Left out, because measured on another gold version:" not in page_text(data)
    text = page_text(replace(data, history=[old]))
    assert "Left out, because measured on another gold version:" in text
    assert "it001" not in text


def test_champion_that_is_the_parent_is_one_row() -> None:
    page = render_report(realistic())
    assert page.count('<span class="n">it002/chatts</span>') == 2  # one for each of the two tables
    other = replace(realistic(), champion="it001/knn", champion_scorecard=card(0.5, 0, 3))
    assert '<span class="n">it001/knn</span>' in render_report(other)


def test_a_champion_that_cannot_be_compared_is_said_and_not_shown() -> None:
    absent = replace(realistic(), champion="it000/knn", champion_scorecard=None)
    assert "no scorecard of it was kept" in page_text(absent)
    other_gold = replace(absent, champion_gold_version=1)
    assert "it000/knn is not in the table: it was measured on gold version 1" in page_text(
        other_gold
    )
    shown = replace(absent, champion_scorecard=card(0.5, 0, 3))
    assert "is not in the table" not in page_text(shown)
    assert "is not in the table" not in page_text(realistic())


def test_click_story_adds_up() -> None:
    text = page_text(realistic())
    assert "152 events cost 304 clicks" in text
    assert "it is 179: 38 missed events" in text
    assert "That is 41 % fewer." in text


def test_label_texts_are_bilingual_and_foreign_colors_are_refused() -> None:
    data = realistic()
    page = render_report(data)
    assert (
        '<span class="en" lang="en">upward spike</span><span class="zh" lang="zh">上行尖峰</span>'
        in page
    )
    labels = tuple(replace(x, color="red;background:url(//x)") for x in data.label_set.labels)
    colored = replace(data, label_set=replace(data.label_set, labels=labels))
    assert "//x" not in render_report(colored)


def test_strange_values_do_not_break_the_page() -> None:
    odd = FakeCard(
        {"event_f1": 1e300, "clicks_saved": -1e6, "n_failed": 2.0},
        {},
        {"event_f1": (float("-inf"), float("nan"))},
        {"upward_spike": {"event_recall": "much"}},
        {"g": {}},
    )
    data = ReportData(
        "it001", variants={"a": odd}, config={"x": object},
        quality={"a": [], "b": {}, "c": [{"d": 1}, 2]},
        data_summary={"f": float("nan"), "n": None, "t": True, "l": list(range(40))},
    )  # fmt: skip
    parse(render_report(data))


def test_case_kind_and_language_are_checked() -> None:
    with pytest.raises(ConfigError, match="Case kind 'hit' is not known"):
        CaseData("hit", "a", [], [], Interval(0, 0))
    with pytest.raises(ConfigError, match="language 'fr' is not known"):
        render_report(realistic(), language="fr")
    assert render_report(ReportData("it001")).startswith("<!doctype html>")


def test_share_intervals_stay_inside_and_narrow_with_more_events() -> None:
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == 1.0
    low, high = wilson(8, 10)
    assert (low, high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(80, 100)[0] > low


def test_model_that_a_baseline_equals_is_not_called_worse_than_its_parent() -> None:
    data = realistic()
    lost = Verdict("lose", "it003/chatts", "it002/chatts", "event_f1", 0.3, None, 0.2)
    text = page_text(replace(data, verdicts={"it003/chatts": lost}))
    assert "it003/chatts is no better than the baseline “value threshold”: event F1 0.30" in text
    assert "worse than" not in text


def test_real_scorecards_are_understood() -> None:
    truth = [Interval(10, 19, "step_up"), Interval(50, 50, "upward_spike")]
    series = []
    for i in range(6):
        found = Detection.of([Interval(12, 19, "step_up"), Interval(80, 81)])
        answer = Detection.failed("no memory") if i == 5 else found
        scores = None if i == 5 else np.linspace(0, 1, 100)
        series.append(score_series(f"s{i}", f"g{i}", truth, answer, scores, 100, labels=True))
    few = Scorecard.of(series[:3], n_bootstrap=50)
    data = ReportData(
        "it001", variants={"knn": Scorecard.of(series, n_bootstrap=50), "few": few}, primary="knn"
    )
    page = render_report(data)
    text = page_text(data)
    assert "12 events cost 24 clicks" in text
    assert "g3" in text
    assert '<span class="iv">/ 6</span>' in page
    assert "undecided: 3 groups, at least 5 are needed" in page_text(replace(data, primary="few"))


def test_findings_of_the_label_checks_are_listed_in_both_languages() -> None:
    quality = realistic().quality
    counts, findings = check_blocks(quality)
    assert [(name.en, name.zh) for name, _ in counts.body] == [
        (CHECKS[name].en, CHECKS[name].zh) for name in ("contradictions", "drift")
    ]
    assert findings.body[0][1] == ("TI_40311.PV", "210–260", quality["findings"][0]["what"])
    quiet = {"checks": {"bounds": {"action": "stop", "findings": 0}}, "findings": []}
    (block,) = check_blocks(quiet)
    assert block.rows[0][1] == "1"
    assert check_blocks({"schema": "tsloop.quality/1"}) == []
    assert set(without_checks(quality)) == set(quality) - {"checks", "findings"}
