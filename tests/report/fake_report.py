"""Made-up reports; ``python tests/report/fake_report.py OUT.html`` writes one to look at."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tsloop.evaluation.clicks import Clicks
from tsloop.intervals import Interval
from tsloop.report.data import CaseData, HistoryPoint, ReportData, Verdict

HOUR = 3_600_000_000_000
START = 1_773_360_000_000_000_000
HOSTILE = '<img src=x onerror="alert(1)">\u202e\x00\ud800'


@dataclass
class FakeCard:
    """Holds what a scorecard holds."""

    metrics: dict[str, float] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    per_label: dict[str, dict[str, Any]] = field(default_factory=dict)
    per_group: dict[str, dict[str, Any]] = field(default_factory=dict)
    clicks: Clicks = field(default_factory=Clicks)


CLICKS = {
    "chatts": Clicks(38, 31, 66, 6, 152),
    "knn": Clicks(52, 60, 78, 8, 152),
    "boosting": Clicks(44, 160, 82, 10, 152),
}


def card(f1: float, saved: float, seed: int, *, parts: bool = False, failed: int = 0) -> FakeCard:
    """A plausible scorecard around an event F1."""
    rng = np.random.default_rng(seed)

    def near(value: float, spread: float = 0.05) -> float:
        return float(np.clip(value + rng.normal(0, spread), 0.0, 1.0))

    metrics = {
        "event_f1": f1,
        "event_precision": near(f1),
        "event_recall": near(f1),
        "event_f1_iou30": near(f1 * 0.8),
        "event_f1_iou50": near(f1 * 0.62),
        "vus_pr": near(f1 * 0.95),
        "auc_pr": near(f1 * 0.85),
        "affiliation_f1": near(0.5 + f1 / 2.4),
        "point_f1": near(f1 * 0.75),
        "label_accuracy": near(f1 * 0.9),
        "clicks_saved": saved,
        "clicks": 304 * (1 - saved),
        "false_alarms_per_clean_series": float(max(0.0, 0.9 - f1)),
        "n_failed": float(failed),
        "n_series": 40.0,
        "n_events": 152.0,
    }
    counts = ("n_failed", "n_series", "n_events", "clicks")
    intervals = {
        k: (v - 0.052 if v < 0 else max(0.0, v - 0.052), v + 0.047)
        for k, v in metrics.items()
        if k not in counts
    }
    out = FakeCard(metrics, {}, intervals)
    if parts:
        labels = {"upward_spike": 41, "downward_spike": 28, "step_up": 14, "gradual_drift": 9}
        labels |= {"flatline": 17, "variance_change": 12, "oscillation": 6, "frequency_change": 3}
        out.per_label = {k: _part("event_recall", near(f1, 0.2), n) for k, n in labels.items()}
        groups = {"pump-A": 31, "pump-B": 22, "compressor-1": 40, "boiler-2": 18, "cooling": 41}
        out.per_group = {k: _part("event_f1", near(f1, 0.14), n) for k, n in groups.items()}
    return out


def _part(metric: str, value: float, n: int) -> dict[str, Any]:
    found = round(value * n)
    return {metric: found / n, "n_events": float(n), "n_found": float(found)}


def fake_case(kind: str, seed: int, n: int = 360) -> CaseData:
    """A random walk with a daily load, a gap, and one event in the middle."""
    rng = np.random.default_rng(seed)
    rows = np.arange(n)
    values = np.cumsum(rng.normal(0, 0.25, n)) + 3 * np.sin(rows / 24 * 2 * np.pi) + 60
    start = int(rng.integers(n // 3, n // 2))
    end = start + int(rng.integers(2, 30))
    values[start : end + 1] += rng.choice([-1, 1]) * rng.uniform(3, 8)
    values[n // 5 : n // 5 + 6] = np.nan
    scores = np.clip(np.abs(rng.normal(0, 0.09, n)), 0, 1)
    label = ["upward_spike", "step_down", "flatline", "variance_change"][seed % 4]
    focus = Interval(start, end, label)
    truth: tuple[Interval, ...] = ()
    found: tuple[Interval, ...] = ()
    if kind == "miss":
        truth = (focus,)
        scores[start : end + 1] += 0.25
        if seed % 2:
            found = (Interval(n - 60, n - 48, "step_up", score=0.7),)
            scores[n - 60 : n - 47] = 0.72
    else:
        found = (focus,)
        scores[start : end + 1] = 0.86
        truth = (Interval(40, 44, "upward_spike"),) if seed % 2 else ()
    stamps = START + rows * HOUR // 4
    return CaseData(
        kind=kind,
        series_id=f"TI_{40300 + seed}.PV",
        timestamps=stamps.tolist(),
        values=values.tolist(),
        focus=focus,
        truth=truth,
        predicted=found,
        scores=scores.tolist(),
        variant="chatts",
        reason="the level jumps by 5.2 °C within two rows" if kind == "false_alarm" else "",
        unit="°C",
        zone="Asia/Shanghai",
        threshold=0.5,
        event_rows=len(focus),
        top_score=float(np.nanmax(scores[start : end + 1])),
        t_start=int(stamps[start]),
        t_end=int(stamps[end]),
    )


def realistic() -> ReportData:
    """What a third iteration with three variants looks like."""
    variants = {
        "chatts": card(0.71, 0.41, 1, parts=True),
        "knn": card(0.63, 0.18, 2, parts=True, failed=3),
        "boosting": card(0.66, -0.12, 3, parts=True),
    }
    variants["knn"].metrics.pop("auc_pr")
    variants["knn"].undefined["auc_pr"] = "undefined: no positives"
    for name, counts in CLICKS.items():
        variants[name].clicks = counts
    parents = {
        "chatts": card(0.63, 0.22, 4),
        "knn": card(0.62, 0.15, 5),
        "boosting": card(0.52, -0.6, 6),
    }
    baselines = {
        "nothing": FakeCard(
            {
                "event_recall": 0.0,
                "clicks_saved": 0.0,
                "n_failed": 0.0,
                "n_series": 40.0,
                "false_alarms_per_clean_series": 0.0,
                "event_f1": 0.0,
            },
            {
                "event_precision": "undefined: nothing was predicted",
                "auc_pr": "undefined: no scores",
            },
        ),
        "random": card(0.08, -4.1, 8),
        "value_threshold": card(0.31, -0.9, 9),
    }
    history = [
        HistoryPoint(
            it,
            v,
            {"event_f1": f, "clicks_saved": s},
            {"event_f1": (f - 0.06, f + 0.05), "clicks_saved": (s - 0.1, s + 0.08)},
            2,
        )
        for it, rows in {
            "base": {"chatts": (0.41, -0.35), "knn": (0.6, 0.1)},
            "it001": {"chatts": (0.55, 0.04), "knn": (0.61, 0.14), "boosting": (0.38, -2.4)},
            "it002": {"chatts": (0.63, 0.22), "knn": (0.62, 0.15), "boosting": (0.52, -0.6)},
        }.items()
        for v, (f, s) in rows.items()
    ]
    history.append(HistoryPoint("it000", "knn", {"event_f1": 0.9}, gold_version=1))
    rng = np.random.default_rng(7)
    training = {
        "chatts": [
            {"step": float(s), "loss": float(0.7 * np.exp(-s / 60) + 0.18 + rng.normal(0, 0.02))}
            | ({"valid_loss": float(0.6 * np.exp(-s / 70) + 0.27)} if s % 20 == 0 else {})
            for s in range(0, 201, 4)
        ]
    }
    recall = np.linspace(0.02, 1, 60)
    pr = {
        name: [
            (float(r), float(np.clip(1 - (1 - a) * r**3 - 0.25 * (r > 0.93), 0, 1))) for r in recall
        ]
        for name, a in (("chatts", 0.35), ("knn", 0.12), ("boosting", 0.2))
    }
    return ReportData(
        iteration="it003",
        parent="it002",
        champion="it002/chatts",
        project="plant demo",
        primary="chatts",
        variants=variants,
        baselines=baselines,
        parent_scorecards={f"it002/{name}": made for name, made in parents.items()},
        champion_scorecard=parents["chatts"],
        history=history,
        training=training,
        pr_curves=pr,
        failures={
            "residual": "NotFittedError: series 'TI_40301.PV' has 12 rows, but 256 are needed."
        },
        verdicts={
            "it003/chatts": Verdict(
                "win",
                "it003/chatts",
                "it002/chatts",
                "event_f1",
                0.71,
                (0.66, 0.76),
                0.63,
                (0.58, 0.68),
                0.08,
                (0.02, 0.13),
                groups=18,
            ),
            "it003/boosting": Verdict(
                "undecided",
                "it003/boosting",
                "it002/chatts",
                "event_f1",
                0.66,
                (0.6, 0.71),
                0.63,
                (0.58, 0.68),
                0.03,
                (-0.03, 0.09),
                groups=18,
                more_groups=30,
            ),
        },
        cases=[fake_case("miss", s) for s in range(6)]
        + [fake_case("false_alarm", s) for s in range(6, 12)],
        data_summary={
            "n_series": 240,
            "n_rows": 2_073_600,
            "groups": 36,
            "source": "plant",
            "repairs": {"duplicates_dropped": 12, "text_to_gap": 3, "unsorted": 0},
            "roles": {"pool": 180, "gold": 40, "spare": 20},
        },
        snapshot={"records": 60, "intervals": 214, "annotators": 2, "label_set": "tsloop@1"},
        dataset={"train": 48, "valid": 12, "replayed": 18, "mode": "incremental"},
        quality={
            "schema": "tsloop.quality/2",
            "n_series": 60,
            "n_ok": 48,
            "n_none": 12,
            "n_intervals": 214,
            "n_rows": 518_400,
            "labels": {
                "upward_spike": {
                    "intervals": 71,
                    "series": 30,
                    "rows": 95,
                    "median_length": 1.0,
                    "share": 0.332,
                },
                "step_up": {
                    "intervals": 30,
                    "series": 18,
                    "rows": 1822,
                    "median_length": 55.0,
                    "share": 0.14,
                },
                "flatline": {
                    "intervals": 22,
                    "series": 14,
                    "rows": 2140,
                    "median_length": 88.5,
                    "share": 0.103,
                },
            },
            "basis": {"simulated": 214},
            "against_parent": {
                "new_series": 20,
                "corrected_series": ["TI_40301.PV"],
                "distance": 0.041,
            },
            "checks": {
                "bounds": {"action": "stop", "findings": 0},
                "contradictions": {"action": "warn", "findings": 1},
                "drift": {"action": "warn", "findings": 1},
            },
            "findings": [
                {
                    "check": "contradictions",
                    "series_id": "TI_40311.PV",
                    "start": 210,
                    "end": 260,
                    "what": "rows have two labels: gradual_drift and step_up",
                },
                {
                    "check": "drift",
                    "series_id": "",
                    "start": None,
                    "end": None,
                    "what": "kinds of labels differ from those of earlier iterations",
                },
            ],
        },
        gold={"series": 40, "events": 152, "groups": 18},
        gold_version=2,
        lineage={
            "chatts": {
                "parent_model": "it002/chatts",
                "base": "embedded-1",
                "method": "LoRA r=8",
                "steps": 200,
            },
            "knn": {"parent_model": "it002/knn", "threshold_rule": "labels:groups"},
            "boosting": {"parent_model": "none", "trees": 150},
        },
        hashes={
            k: __import__("hashlib").sha256(k.encode()).hexdigest()
            for k in (
                "series",
                "snapshot",
                "dataset",
                "gold",
                "config",
                "model/chatts",
                "model/knn",
                "model/boosting",
            )
        },
        config={
            "detector": {"chatts": {"lora": {"rank": 8, "alpha": 16}, "lr": 2e-4}},
            "split": {"valid_share": 0.2, "gap_rows": 64},
            "seed": 0,
            "标签": "工厂",
        },
    )


def all_failed() -> ReportData:
    """Nothing worked: variants without a single number, one group, undefined metrics."""
    undefined = dict.fromkeys(
        ("event_f1", "event_recall", "vus_pr", "clicks_saved"), "undefined: no positives"
    )
    dead = FakeCard(
        {"n_failed": 3.0, "n_series": 3.0}, undefined, {}, {}, {"only": {"n_events": 0}}
    )
    return ReportData(
        iteration="it001",
        parent="base",
        variants={"chatts": dead, "knn": dead},
        failures={"boosting": "out of memory"},
        baselines={"nothing": FakeCard()},
        parent_scorecards={"base/chatts": FakeCard()},
        history=[HistoryPoint("base", "chatts", {"event_f1": float("nan")})],
        training={"chatts": [{"step": 0.0, "loss": float("nan")}], "knn": []},
        pr_curves={"chatts": []},
    )


def hostile() -> ReportData:
    """Markup, control characters and lone surrogates wherever a name can stand."""
    bad = HOSTILE
    one = card(0.5, 0.1, 1)
    one.per_label = {bad: _part("event_recall", 0.5, 3)}
    one.per_group = {bad: _part("event_f1", 0.5, 3)}
    one.undefined[f"auc_pr{bad}"] = bad
    one.undefined["vus_pr"] = bad
    one.undefined["intervals"] = bad
    one.clicks = Clicks(1, 1, 1, 1, 2)
    case = fake_case("miss", 1)
    cases = [
        CaseData(
            "miss",
            bad,
            case.timestamps,
            case.values,
            Interval(5, 9, bad),
            (Interval(5, 9, bad),),
            (Interval(5, 9, bad),),
            case.scores,
            bad,
            bad,
            bad,
            bad,
            bad,
            0.5,
            5,
            0.1,
            -(2**62),
            2**62,
        ),
        case,
    ]
    return ReportData(
        iteration=bad,
        parent=bad,
        champion=bad,
        project=bad,
        variants={bad: one},
        failures={f"f{bad}": bad},
        baselines={bad: one},
        parent_scorecards={bad: one},
        champion_scorecard=one,
        verdicts={f"{bad}/{bad}": Verdict("undecided", bad, bad, bad, reason=bad)},
        history=[HistoryPoint(bad, bad, {"event_f1": 0.4})],
        training={bad: [{"step": 1.0, "loss": 2.0}]},
        pr_curves={bad: [(0.1, 0.9), (0.9, 0.1)]},
        cases=cases,
        quality={bad: {bad: [bad] * 20}},
        gold={bad: bad},
        data_summary={bad: bad},
        snapshot={bad: bad},
        dataset={bad: bad},
        lineage={bad: {bad: bad}},
        hashes={bad: bad},
        config={bad: {bad: bad}},
    )


if __name__ == "__main__":
    from tsloop.report.build import render_report

    page = render_report(realistic(), language=sys.argv[2] if len(sys.argv) > 2 else "en")
    Path(sys.argv[1]).write_text(page, encoding="utf-8")
