"""The report's charts as SVG files of their own, for `dvc plots`, which needs no network for them.

Inside the report a chart is coloured by the page's style sheet. A file carries that part of the
sheet along, in light colours, on a white ground, and speaks English.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

from tsloop.report.data import ReportData
from tsloop.report.sections import CURVE_METRICS, learning_charts, pr_curves

__all__ = ["chart_files", "standalone"]


def chart_files(data: ReportData) -> dict[str, str]:
    """File name → SVG: the learning curves, and precision over recall on gold."""
    charts = dict(zip(CURVE_METRICS, learning_charts(data), strict=False))
    charts["precision_recall"] = pr_curves(data)
    return {f"{name}.svg": standalone(chart) for name, chart in charts.items() if chart}


def standalone(chart: str) -> str:
    """A chart that was drawn for the page as a file that shows the same anywhere."""
    opening, rest = chart.split(">", 1)
    ground = '<rect width="100%" height="100%" fill="#ffffff"/>'
    namespace = opening.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{namespace}><style>{_style()}</style>{ground}{rest}\n"


@cache
def _style() -> str:
    sheet = files("tsloop.report").joinpath("templates/style.css.j2").read_text(encoding="utf-8")
    colours = sheet[: sheet.index("}") + 1].replace("color-scheme: light dark;", "")
    charts = sheet[sheet.index("/* charts */") : sheet.index(".legend {")]
    text = (
        f"{colours} {charts} svg {{ font-family: system-ui, sans-serif; }} .zh {{ display: none; }}"
    )
    return re.sub(r"/\*.*?\*/|\s+", " ", text).strip()
