"""VUS-PR and affiliation word by word: slow, no numpy, nothing shared with the package.

Both follow the published definitions (see the two modules under test), row by row and place by
place. The committed fixtures come from the original programs; these functions extend the check to
every small case that hypothesis can think of.
"""

from __future__ import annotations

import math

Runs = list[tuple[int, int]]


def runs_of(mask: list[bool]) -> Runs:
    """First and last row of each run of true rows."""
    runs: Runs = []
    for row, value in enumerate(mask):
        if value and runs and runs[-1][1] == row - 1:
            runs[-1] = (runs[-1][0], row)
        elif value:
            runs.append((row, row))
    return runs


def vus_pr_literal(mask: list[bool], scores: list[float], window: int, n_thresholds: int) -> float:
    """Average over buffer widths of the area under the buffered precision-recall curve."""
    areas = [_area(mask, scores, width, n_thresholds) for width in range(window + 1)]
    return sum(areas) / len(areas)


def _area(mask: list[bool], scores: list[float], width: int, n_thresholds: int) -> float:
    events, weight = runs_of(mask), _soft_labels(mask, width)
    zones = _zones(events, width // 2, len(mask))
    falling = sorted(scores, reverse=True)
    area, last_recall = 0.0, 0.0
    spacing = (len(scores) - 1) / (n_thresholds - 1)
    places = [int(step * spacing) for step in range(n_thresholds - 1)] + [len(scores) - 1]
    for place in places:
        level = falling[place]
        flagged = [score >= level for score in scores]
        hits = sum(w for w, f in zip(weight, flagged, strict=True) if f)
        beside = sum(w for w, f, m in zip(weight, flagged, mask, strict=True) if f and not m)
        met = sum(any(flagged[first : last + 1]) for first, last in zones) / len(zones)
        recall = min(1.0, hits / (sum(mask) + beside / 2)) * met
        area += (recall - last_recall) * hits / sum(flagged)
        last_recall = recall
    return area


def _soft_labels(mask: list[bool], width: int) -> list[float]:
    weight = [1.0 if value else 0.0 for value in mask]
    for row, value in enumerate(mask):
        if value:
            continue
        for first, last in runs_of(mask):
            distance = first - row if row < first else row - last
            if distance <= width // 2:
                weight[row] += math.sqrt(1 - distance / width)
        weight[row] = min(1.0, weight[row])
    return weight


def _zones(events: Runs, reach: int, n_rows: int) -> Runs:
    zones: Runs = []
    for first, last in events:
        first, last = max(0, first - reach), min(n_rows - 1, last + reach)
        if zones and zones[-1][1] >= first:
            zones[-1] = (zones[-1][0], last)
        else:
            zones.append((first, last))
    return zones


def affiliation_literal(truth: list[bool], predicted: list[bool]) -> tuple[float | None, float]:
    """Precision (None without a prediction) and recall, as means over quarter rows.

    Every corner of the functions that are integrated lies on a multiple of a quarter, so the value
    in the middle of a quarter is its mean.
    """
    events = [(a, b + 1) for a, b in runs_of(truth)]
    precisions, recalls = [], []
    for number, event in enumerate(events):
        low = (events[number - 1][1] + event[0]) / 2 if number else 0.0
        high = (event[1] + events[number + 1][0]) / 2 if number + 1 < len(events) else len(truth)
        places = [x for x in _quarters(low, high) if predicted[int(x)]]
        if not places:
            recalls.append(0.0)
            continue
        precisions.append(_mean([_farther_from_event(x, event, low, high) for x in places]))
        pieces = [
            (max(low, a), min(high, b + 1))
            for a, b in runs_of(predicted)
            if b + 1 > low and a < high
        ]
        recalls.append(
            _mean([_farther_than_pieces(y, pieces, low, high) for y in _quarters(*event)])
        )
    return (_mean(precisions) if precisions else None), _mean(recalls)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _quarters(low: float, high: float) -> list[float]:
    return [low + 0.125 + 0.25 * i for i in range(round((high - low) * 4))]


def _gap(place: float, span: tuple[float, float]) -> float:
    return max(span[0] - place, place - span[1], 0.0)


def _farther_from_event(x: float, event: tuple[float, float], low: float, high: float) -> float:
    distance = _gap(x, event)
    if distance == 0:
        return 1.0
    nearer = min(high, event[1] + distance) - max(low, event[0] - distance)
    return 1 - nearer / (high - low)


def _farther_than_pieces(
    y: float, pieces: list[tuple[float, float]], low: float, high: float
) -> float:
    distance = min(_gap(y, piece) for piece in pieces)
    nearer = min(high, y + distance) - max(low, y - distance)
    return 1 - nearer / (high - low)
