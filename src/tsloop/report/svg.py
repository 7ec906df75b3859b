"""The ground the charts stand on: text, numbers, scales and ticks for inline SVG.

Everything here is a pure function of its arguments and returns finite coordinates for any input,
so that equal data gives equal bytes. Colours are never written into the picture: elements carry
classes, and the page's style sheet colours them for light, dark and print.
"""

from __future__ import annotations

import html
import itertools
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "N_STYLES",
    "Scale",
    "Text",
    "attr",
    "clean",
    "element",
    "empty_chart",
    "escape",
    "finite",
    "fmt",
    "label",
    "marker",
    "nice_ticks",
    "path_points",
    "shorten",
    "spread",
    "svg",
    "tick_text",
    "title",
]

N_STYLES = 6
"""How many colours, dashes and markers there are; styles wrap around."""

_LIMIT = 1e150
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class Text:
    """One message in both languages of the report."""

    en: str
    zh: str

    @classmethod
    def same(cls, text: str) -> Text:
        """A name or a number: the same in both languages."""
        return cls(text, text)


def clean(text: str) -> str:
    """Text that every browser can show: no control, bidi-override or surrogate characters."""
    whole = text.encode("utf-8", "replace").decode("utf-8")
    return _CONTROL.sub("\ufffd", whole)


def escape(text: str) -> str:
    """Text for element content and for double-quoted attributes."""
    return html.escape(clean(text), quote=True)


def shorten(text: str, width: int) -> str:
    """At most ``width`` Latin characters wide (CJK counts double), an ellipsis where cut."""
    used = 0
    for place, char in enumerate(text):
        used += 2 if unicodedata.east_asian_width(char) in "WF" else 1
        if used > width:
            return text[: max(0, place - 1)] + "…"
    return text


def fmt(value: float) -> str:
    """A coordinate: two decimals at most, never ``-0``, never anything but a number."""
    if not math.isfinite(value):
        return "0"
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def attr(**values: float | str | None) -> str:
    """Attributes in the given order; ``stroke_width`` becomes ``stroke-width``."""
    out = []
    for name, value in values.items():
        if value is None:
            continue
        shown = value if isinstance(value, str) else fmt(value)
        out.append(f' {name.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    return "".join(out)


def element(tag: str, inner: str = "", **values: float | str | None) -> str:
    """One element; ``inner`` is markup already."""
    opening = f"<{tag}{attr(**values)}"
    return f"{opening}>{inner}</{tag}>" if inner else f"{opening}/>"


def title(text: Text | str) -> str:
    """A tooltip, which screen readers read as well."""
    both = _as_text(text)
    words = both.en if both.en == both.zh else f"{both.en} / {both.zh}"
    return f"<title>{escape(words)}</title>"


def label(text: Text | str, x: float, y: float, *, kind: str = "ax", anchor: str = "start") -> str:
    """A ``<text>``, or one for each language where they differ."""
    both = _as_text(text)
    place = attr(x=x, y=y, text_anchor=None if anchor == "start" else anchor)
    if both.en == both.zh:
        return f'<text class="{kind}"{place}>{escape(both.en)}</text>'
    return "".join(
        f'<text class="{kind} {lang}" lang="{lang}"{place}>{escape(words)}</text>'
        for lang, words in (("en", both.en), ("zh", both.zh))
    )


def svg(width: float, height: float, parts: Iterable[str], name: Text | str, kind: str = "") -> str:
    """The picture; it scales with its box and says in words what it is."""
    words = _as_text(name)
    return (
        f'<svg class="chart{" " + kind if kind else ""}" role="img" '
        f'aria-label="{escape(words.en)}" viewBox="0 0 {fmt(width)} {fmt(height)}" '
        f'width="{fmt(width)}" height="{fmt(height)}">{"".join(parts)}</svg>'
    )


def empty_chart(width: float, height: float, name: Text) -> str:
    """A frame that says that there is nothing to draw."""
    frame = element("rect", x=0.5, y=0.5, width=width - 1, height=height - 1, rx=6, class_="nil")
    words = label(
        Text("nothing to draw yet", "暂无可绘制的数据"), width / 2, height / 2 + 12, anchor="middle"
    )
    return svg(width, height, [frame, label(name, 12, 20, kind="ct"), words], name)


def marker(style: int, x: float, y: float) -> str:
    """Circle, square, triangle, diamond, cross or triangle down, about eight units wide."""
    shapes = (
        "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0Z",
        "m-3.5-3.5h7v7h-7Z",
        "m0-4.6l4.4 7.8h-8.8Z",
        "m0-5l5 5l-5 5l-5-5Z",
        "m-4-1.5h2.5v-2.5h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5Z",
        "m0 4.6l4.4-7.8h-8.8Z",
    )
    return f"M{fmt(x)} {fmt(y)}{shapes[style % N_STYLES]}"


def finite(*values: float) -> bool:
    """Whether all of them are numbers that can be drawn."""
    return all(math.isfinite(v) for v in values)


def _as_text(text: Text | str) -> Text:
    return text if isinstance(text, Text) else Text.same(text)


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of ``lo..hi``, counted from ``origin``, to ``start..stop``; clips the rest."""

    lo: float
    hi: float
    start: float
    stop: float
    origin: int = 0

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        start: float,
        stop: float,
        *,
        include: Sequence[float] = (),
        pad: float = 0.0,
    ) -> Scale:
        """Cover all finite values and ``include``, widened by the share ``pad`` on both sides."""
        finite = [min(max(v, -_LIMIT), _LIMIT) for v in (*values, *include) if math.isfinite(v)]
        lo, hi = (min(finite), max(finite)) if finite else (0.0, 1.0)
        room = (hi - lo) * pad
        lo, hi = lo - room, hi + room
        least = max(abs(lo), abs(hi)) * 1e-9 + 1e-100
        if hi - lo < least:
            widen = max(least, abs(lo) * 0.05, 0.5 if lo == 0 else 0.0)
            lo, hi = lo - widen, hi + widen
        return cls(lo, hi, start, stop)

    def __call__(self, value: float) -> float:
        if not math.isfinite(value):
            return self.start
        value = min(max(value - self.origin, self.lo), self.hi)
        share = (value - self.lo) / (self.hi - self.lo)
        return self.start + share * (self.stop - self.start)


def nice_ticks(lo: float, hi: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5, 5 times a power of ten) inside ``lo..hi``, ``about`` of them."""
    if not (math.isfinite(lo) and math.isfinite(hi)) or hi <= lo:
        return []
    raw = (hi - lo) / max(1, about)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((m * power for m in (1.0, 2.0, 2.5, 5.0) if m * power >= raw * 0.999), 10.0 * power)
    first = math.ceil(lo / step - 1e-9)
    last = math.floor(hi / step + 1e-9)
    return [n * step for n in range(first, min(last, first + 50) + 1)]


def tick_text(value: float, ticks: Sequence[float]) -> str:
    """The tick with as many decimals as its neighbours need, in k, M, G or as a power of ten."""
    step = min((b - a for a, b in itertools.pairwise(ticks)), default=abs(value) or 1.0)
    largest = max((abs(t) for t in ticks), default=abs(value))
    if largest == 0:
        return "0"
    if largest >= 1e12 or largest < 1e-4:
        return f"{value:.1e}".replace("-", "−").replace("e+", "e") if value else "0"
    unit, suffix = next(
        ((u, s) for u, s in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if largest >= 10 * u), (1.0, "")
    )
    decimals = 0
    while decimals < 6 and abs(round(step / unit, decimals) - step / unit) > step / unit * 1e-6:
        decimals += 1
    return f"{value / unit:.{decimals}f}".replace("-", "−") + (suffix if value else "")


def path_points(points: Iterable[tuple[float, float] | None]) -> str:
    """Path data of a line through the points; ``None`` is a gap, a lone point becomes a dot."""
    out: list[str] = []
    run: list[str] = []
    for point in (*points, None):
        if point is not None:
            run.append(f"{fmt(point[0])} {fmt(point[1])}")
        elif run:
            out.append(f"M{'L'.join(run)}" + ("h0.01" if len(run) == 1 else ""))
            run = []
    return "".join(out)


def spread(places: Sequence[float], least: float, lo: float, hi: float) -> list[float]:
    """Move labels at least ``least`` apart, as far as ``lo..hi`` has room."""
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    out = list(places)
    previous = lo - least
    for index in order:
        out[index] = max(places[index], previous + least)
        previous = out[index]
    limit = hi
    for index in reversed(order):
        out[index] = max(min(out[index], limit), lo)
        limit = out[index] - least
    return out
