"""The words of the report: what each metric is called, and how a number is written."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tsloop.labels import LabelSet
from tsloop.report.svg import Text

__all__ = [
    "BASELINES",
    "METRICS",
    "MetricInfo",
    "interval_text",
    "label_text",
    "number",
    "percent",
    "plain",
    "show",
    "signed",
]


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """A metric's names, its meaning in one sentence, and how to read it.

    ``kind`` is ``share`` (0 to 1), ``percent`` (a signed share), ``rate`` or ``count``.
    """

    key: str
    name: Text
    meaning: Text
    kind: str = "share"
    higher_is_better: bool = True


METRICS: dict[str, MetricInfo] = {
    info.key: info
    for info in (
        MetricInfo(
            "event_f1",
            Text("Event F1", "事件 F1"),
            Text(
                "Balance of events found and proposals that are right; any overlap counts, "
                "one proposal for one event.",
                "找到的事件与正确提议之间的平衡；有任意重叠即算命中，一个提议对应一个事件。",
            ),
        ),
        MetricInfo(
            "event_precision",
            Text("Precision", "精确率"),
            Text("Share of the proposals that are real events.", "提议中真实事件所占的比例。"),
        ),
        MetricInfo(
            "event_recall",
            Text("Recall", "召回率"),
            Text("Share of the real events that were found.", "真实事件中被找到的比例。"),
        ),
        MetricInfo(
            "event_f1_iou30",
            Text("F1, IoU ≥ 0.3", "F1（IoU ≥ 0.3）"),
            Text(
                "Event F1 where proposal and event must share 30 % of their rows.",
                "提议与事件须共有 30 % 的行才算命中的事件 F1。",
            ),
        ),
        MetricInfo(
            "event_f1_iou50",
            Text("F1, IoU ≥ 0.5", "F1（IoU ≥ 0.5）"),
            Text("The same with 50 %: how good the edges are.", "同上，但为 50 %：边界有多准。"),
        ),
        MetricInfo(
            "clicks_saved",
            Text("Clicks saved", "节省的点击"),
            Text(
                "Share of the reviewer's clicks that the proposals save against labelling from "
                "nothing; below 0 they cost more than they give.",
                "相比从零标注，提议为审核者节省的点击比例；低于 0 表示得不偿失。",
            ),
            kind="percent",
        ),
        MetricInfo(
            "false_alarms_per_clean_series",
            Text("False alarms / clean series", "误报/正常序列"),
            Text(
                "False alarms per series in which nothing is wrong.",
                "在没有异常的序列上，平均每条序列的误报数。",
            ),
            kind="rate",
            higher_is_better=False,
        ),
        MetricInfo(
            "vus_pr",
            Text("VUS-PR", "VUS-PR"),
            Text(
                "How well the scores rank anomalous rows, with tolerance at the edges; needs no "
                "threshold.",
                "得分对异常行排序的好坏，边界有容差；与阈值无关。",
            ),
        ),
        MetricInfo(
            "auc_pr",
            Text("AUC-PR", "AUC-PR"),
            Text("The same, row by row, without tolerance.", "同上，逐行计算，无容差。"),
        ),
        MetricInfo(
            "affiliation_f1",
            Text("Affiliation F1", "归属 F1"),
            Text(
                "Precision and recall by distance in time to the nearest event.",
                "按到最近事件的时间距离计算的精确率与召回率。",
            ),
        ),
        MetricInfo(
            "point_f1",
            Text("Point F1", "逐点 F1"),
            Text("F1 over rows, without point adjustment.", "逐行计算的 F1，不做点调整。"),
        ),
        MetricInfo(
            "label_accuracy",
            Text("Right type", "类型正确"),
            Text(
                "Share of the found events that were given the right type.",
                "找到的事件中类型判断正确的比例。",
            ),
        ),
        MetricInfo(
            "n_failed",
            Text("Failed series", "失败序列"),
            Text(
                "Series that the model could not judge. They count as missed, never as normal.",
                "模型无法判断的序列。按漏检计算，绝不当作正常。",
            ),
            kind="count",
            higher_is_better=False,
        ),
    )
}

BASELINES: dict[str, Text] = {
    "nothing": Text("predict nothing", "什么都不报"),
    "predict_nothing": Text("predict nothing", "什么都不报"),
    "random": Text("random scores", "随机得分"),
    "random_scores": Text("random scores", "随机得分"),
    "value_threshold": Text("value threshold", "数值阈值"),
}


def number(value: float, decimals: int = 3) -> str:
    """A true minus sign, and no ``-0.000``."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def percent(value: float) -> str:
    """``+57 %``, ``−12 %``, ``0 %``: with its sign, for gains and losses."""
    if not math.isfinite(value):
        return "–"
    if abs(value) >= 100:
        return f"{value * 100:+.0e} %".replace("-", "−").replace("e+", "e")
    whole = round(value * 100)
    return f"{whole:+d} %".replace("-", "−") if whole else "0 %"


def signed(value: float, decimals: int = 2) -> str:
    """A difference: always with a sign."""
    text = number(value, decimals)
    return text if text.startswith("−") or text == "–" else f"+{text}"


def show(info: MetricInfo, value: float, *, short: bool = False) -> str:
    """A metric's value as its kind wants it."""
    if info.kind == "percent":
        return percent(value)
    if info.kind == "count":
        return number(value, 0)
    return number(value, 2 if short or info.kind == "rate" else 3)


def interval_text(info: MetricInfo, bounds: tuple[float, float] | None) -> str:
    """``0.66–0.76``; empty where there is no interval."""
    if bounds is None or not all(math.isfinite(b) for b in bounds):
        return ""
    low, high = bounds
    if info.kind == "percent":
        return f"{percent(low)} … {percent(high)}"
    between = "–" if low >= 0 else " … "
    return f"{show(info, low, short=True)}{between}{show(info, high, short=True)}"


def label_text(label_set: LabelSet, label_id: str) -> Text:
    """The label in both languages; an id that the set does not know stands for itself."""
    if label_id in label_set:
        found = label_set[label_id]
        return Text(found.en, found.zh)
    return Text.same(label_id)


def plain(value: Any) -> str:
    """A leaf of a JSON-like structure as people write it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f").replace("-", "−")
    if isinstance(value, float):
        whole = math.isfinite(value) and abs(value) < 1e15 and value == int(value)
        return plain(int(value)) if whole else f"{value:.4g}".replace("-", "−")
    if isinstance(value, Mapping):
        return "{}" if not value else f"{{{len(value)}}}"
    return str(value)
