"""One self-contained HTML file for an iteration: no script, nothing loaded from anywhere.

The page carries its own content security policy, both languages (switched by style sheet alone),
light and dark colours, and a print layout. The same data gives the same bytes.
"""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from tsloop.errors import ConfigError
from tsloop.report.data import ReportData
from tsloop.report.figures import blocks, chain, config_text
from tsloop.report.label_checks import check_blocks, without_checks
from tsloop.report.sections import (
    breakdown_chart,
    case_views,
    click_chart,
    click_story,
    learning_charts,
    pr_curves,
    tiles,
    training_charts,
)
from tsloop.report.svg import Text, clean, escape
from tsloop.report.tables import (
    BreakdownRow,
    group_rows,
    label_rows,
    metric_tables,
    systems,
    variant_styles,
)
from tsloop.report.verdicts import headline_variant, statement
from tsloop.report.vocabulary import METRICS

__all__ = ["render_report"]

MAX_BARS = 40
"""A chart of more groups than this shows the first ones; the table has them all."""


def render_report(data: ReportData, *, language: str = "en") -> str:
    """The page as text; ``language`` (``en`` or ``zh``) is what it shows first."""
    if language not in ("en", "zh"):
        raise ConfigError(f"Report language {language!r} is not known.", hint="Use 'en' or 'zh'.")
    page = _environment().get_template("report.html.j2").render(_context(data), language=language)
    return clean(page)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("tsloop", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals["t"] = _both
    return environment


def _both(en: Text | str, zh: str | None = None) -> Markup:
    """Both languages side by side; the style sheet shows one of them."""
    text = en if isinstance(en, Text) else Text(en, en if zh is None else zh)
    if text.en == text.zh:
        return Markup(escape(text.en))
    return Markup(
        f'<span class="en" lang="en">{escape(text.en)}</span>'
        f'<span class="zh" lang="zh">{escape(text.zh)}</span>'
    )


def _context(data: ReportData) -> dict[str, object]:
    headline = headline_variant(data)
    styles = variant_styles(data)
    names = sorted(data.variants, key=styles.__getitem__)
    others = [n for n in styles if n != headline and (n in data.variants or n in data.failures)]
    rows = systems(data)
    measured = [*(p.metrics for p in data.history), *(c.metrics for c in data.variants.values())]
    card = data.variants.get(headline or "")
    labels, groups = label_rows(data, names), group_rows(data, names)
    recall = Text("Events found, by type", "各类型被找到的事件比例")
    group_name = Text("Event F1, by group", "各组的事件 F1")
    style = styles[headline] if headline is not None else 0
    left_out = [p for p in data.history if p.gold_version not in (None, data.gold_version)]
    return {
        "data": data,
        "styles": styles,
        "names": names,
        "headline": statement(data, headline),
        "others": [statement(data, name) for name in others],
        "tiles": tiles(data, headline),
        "tables": metric_tables(rows),
        "champion_missing": bool(data.champion) and data.champion not in {r.name.en for r in rows},
        "learning": [_picture(chart) for chart in learning_charts(data)],
        "left_out": len(left_out),
        "clipped": any(m.get("clicks_saved", 0.0) < -1 for m in measured),
        "no_intervals": "" if card is None else card.undefined.get("intervals", ""),
        "story": click_story(data, headline),
        "clicks": _picture(click_chart(data)),
        "labels": labels,
        "groups": groups,
        "label_chart": _breakdown(labels, recall, headline, names, style),
        "group_chart": _breakdown(groups, group_name, headline, names, style),
        "pr": _picture(pr_curves(data)),
        "training": [_picture(chart) for chart in training_charts(data)],
        "misses": case_views(data, "miss"),
        "alarms": case_views(data, "false_alarm"),
        "chain": chain(data),
        "checks": check_blocks(data.quality),
        "quality": blocks(without_checks(data.quality), data.label_set),
        "summary": blocks(data.data_summary, data.label_set),
        "config": config_text(data.config),
        "metrics": list(METRICS.values()),
        "picture": _picture,
    }


def _picture(chart: str) -> Markup:
    """A chart may go into the page as it is: charts escape every text that they draw."""
    return Markup(chart)


def _breakdown(
    rows: list[BreakdownRow], name: Text, headline: str | None, names: list[str], style: int
) -> Markup:
    if headline not in names or not rows:
        return Markup()
    return _picture(breakdown_chart(rows[:MAX_BARS], names.index(headline), name, style))
