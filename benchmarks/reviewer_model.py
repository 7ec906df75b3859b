"""A scripted reviewer: which keys of the review page, and how many seconds, lead to the truth.

The reviewer knows the truth and the page, and takes the quicker of two ways where there are two:

- *missing* events are drawn first, with the mouse (a drag), after zooming in where a pixel is too
  coarse; the label is changed where it is not the one that was used last;
- then every proposal is judged in the order in which the page goes on: accepted, rejected, or its
  edges moved (with the arrow keys, or by dragging them) and its label changed; one that is far off
  is rejected and drawn anew where that is quicker;
- the last verdict, ``Enter`` or ``0`` ("no anomaly here") ends the series; proposals that are left
  and all wrong are rejected by that one key, but each has been looked at.

Without proposals the same rules leave drawing and ``Enter``, or ``0``.

Seconds follow the keystroke-level model: Card, Moran and Newell, *The keystroke-level model for
user performance time with interactive systems*, CACM 23(7), 1980, and *The Psychology of
Human-Computer Interaction*, 1983, for the eye's fixations; a press or release of the mouse button
is from Kieras' guide to the model. How often a reviewer looks and thinks (`LOOK_FIXATIONS`, the
arguments of `think`) are our own assumptions; every operator is counted, so that other weights can
be tried.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil, log2
from pathlib import Path

from tsloop.evaluation.clicks import UNSPECIFIC, edges_off
from tsloop.evaluation.matching import match_events
from tsloop.intervals import Interval

__all__ = ["OPERATOR_S", "Keys", "Plan", "page_keys", "review_plan", "same_answer"]

OPERATOR_S = {
    "K": 0.28,  # a key, average non-secretary typist
    "P": 1.1,  # point with the mouse
    "B": 0.1,  # press or release its button
    "H": 0.4,  # hand from keys to mouse or back
    "M": 1.35,  # a mental step
    "E": 0.23,  # one fixation of the eye
}
LOOK_FIXATIONS = 12
"""What it takes to see a whole series once, proposals or not; an assumption."""
PLOT_PX = 1040
"""Width of the plot in a window of 1440 pixels."""
TARGET_PX = 4
"""Narrower targets are not aimed at: the reviewer zooms in first."""
NARROW_PX = 8
"""The page itself frames proposals that are narrower than this."""
KEYS_TS = Path(__file__).parents[1] / "web" / "src" / "core" / "keys.ts"

Keys = dict[str, str]
"""The first chord of every action of the review view, and of the edge mode."""


def page_keys(source: Path = KEYS_TS) -> Keys:
    """The bindings that the page itself reads, so that a changed key changes what is counted."""
    pattern = re.compile(r"^\s*b\('(review|edge)', (?:'\w+'|undefined), '(\w+)', '([^']+)'", re.M)
    keys: Keys = {}
    for _, action, chord in pattern.findall(source.read_text(encoding="utf-8")):
        keys.setdefault(action, chord)
    return keys


@dataclass
class Plan:
    """What the reviewer does on one series: chords, drags and clicks in order, and their cost."""

    keys: Keys
    labels: Sequence[str]
    draw_label: str
    steps: list[tuple[str, ...]] = field(default_factory=list)
    decisions: Counter[str] = field(default_factory=Counter)
    operators: Counter[str] = field(default_factory=lambda: Counter({"E": LOOK_FIXATIONS}))
    answer: list[Interval] = field(default_factory=list)
    _hand: str = "keys"

    def think(self, times: int) -> None:
        """Mental steps."""
        self.operators["M"] += times

    def decide(self, name: str) -> None:
        """One save of the page: a revision of the series."""
        self.decisions[name] += 1

    def press(self, action: str, times: int = 1) -> None:
        """Press the key of an action; a modifier is held down over repeated presses."""
        if times:
            self._chord(self.keys[action], times)

    def _chord(self, chord: str, times: int = 1) -> None:
        self._to("keys")
        held = len(chord) > 1 and "+" in chord
        shifted = len(chord) == 1 and (chord.isupper() or chord in '!?~"')
        self.operators["K"] += times + int(held or shifted)
        self.steps += [("key", chord)] * times

    def mouse(self, kind: str, *rows: int) -> None:
        """A ``click`` on a row, or a ``drag`` from one row to another."""
        self._to("mouse")
        self.operators["P"] += len(rows)
        self.operators["B"] += 2
        self.steps.append((kind, *map(str, rows)))

    def set_label(self, label: str) -> None:
        """A digit for the first nine labels, else the palette and the label's code."""
        number = list(self.labels).index(label)
        self.draw_label = label
        if number < 9:
            self._chord(str(number + 1))
            return
        self.press("palette")
        n_letters = 1 if len(self.labels) <= 26 else 2
        self.operators["K"] += n_letters
        self.steps += [("code", label)] * n_letters

    def _to(self, hand: str) -> None:
        if self._hand != hand:
            self.operators["H"] += 1
            self._hand = hand

    @property
    def n_keys(self) -> int:
        """Keys as the page counts them: without held modifiers."""
        return sum(step[0] in ("key", "code") for step in self.steps)

    @property
    def n_gestures(self) -> int:
        """Clicks and drags."""
        return len(self.steps) - self.n_keys

    @property
    def seconds(self) -> float:
        """By the keystroke-level model, without the server's answers."""
        return sum(OPERATOR_S[name] * n for name, n in self.operators.items())

    def trial(self) -> Plan:
        """An empty plan from the same state, to find out what something would cost."""
        plan = Plan(self.keys, self.labels, self.draw_label, operators=Counter())
        plan._hand = self._hand
        return plan


def review_plan(
    truth: Sequence[Interval],
    proposals: Sequence[Interval],
    n_rows: int,
    labels: Sequence[str],
    keys: Keys,
    draw_label: str,
) -> Plan:
    """From the proposals (none: from nothing) to the truth; see the module for the rules."""
    plan = Plan(keys, labels, draw_label)
    found = match_events(truth, proposals)
    partner = {p: truth[t] for t, p in found.pairs}
    redrawn = {p for p in partner if _is_far(plan, proposals[p], partner[p], n_rows)}
    missing = [truth[t] for t in found.missed] + [partner.pop(p) for p in redrawn]
    first = min(proposals, default=None)
    zoomed = first is not None and _view(first, n_rows) < n_rows  # the page has framed it
    for event in sorted(missing):
        zoomed = _draw(plan, event, n_rows, zoomed)
    left = sorted(range(len(proposals)), key=lambda p: (proposals[p].start, proposals[p].end))
    row, verdict = 0, ""
    if missing and partner:
        plan.press("accept")  # on an interval of one's own this only moves on: to what lies behind
        row = max(missing).end + 1
    while any(p in partner for p in left):
        chosen = next((p for p in left if proposals[p].start >= row), left[0])
        left.remove(chosen)
        verdict = _judge(plan, proposals[chosen], partner.get(chosen), n_rows)
        row = proposals[chosen].start
        if verdict in ("edit", "relabel") and any(p in partner for p in left):
            plan.press("accept")
            row = plan.answer[-1].end + 1
    plan.think(len(left))
    _end(plan, len(left), finished=verdict in ("accept", "reject") and not left)
    return plan


def _end(plan: Plan, rest: int, finished: bool) -> None:
    """Reject what is left, and say that the series is done."""
    if finished:
        return
    if not plan.answer:
        plan.think(1)
        plan.press("none")
        plan.decide("none")
    elif rest == 1 and plan.steps[-1] == ("key", plan.keys["accept"]):
        plan.press("reject")
        plan.decide("reject")
    else:
        plan.press("done")
        plan.decide("done")


def _is_far(plan: Plan, proposal: Interval, event: Interval, n_rows: int) -> bool:
    """Whether rejecting and drawing anew is quicker than correcting."""
    mended, anew = plan.trial(), plan.trial()
    _judge(mended, proposal, event, n_rows)
    anew.think(1)
    anew.press("reject")
    _draw(anew, event, n_rows, False)
    return anew.seconds < mended.seconds


def _judge(plan: Plan, proposal: Interval, event: Interval | None, n_rows: int) -> str:
    """One verdict, and which; after accepting or rejecting the page goes on by itself."""
    plan.think(1)
    if event is None:
        plan.press("reject")
        plan.decide("reject")
        return "reject"
    plan.think(1)  # are the edges and the kind right?
    label = proposal.label if event.label in (proposal.label, UNSPECIFIC) else event.label
    if edges_off(event, proposal) == 0:
        plan.answer.append(Interval(proposal.start, proposal.end, label))
        if label == proposal.label:
            plan.press("accept")
            plan.decide("accept")
            return "accept"
        plan.think(1)
        plan.set_label(label)
        plan.decide("relabel")
        return "relabel"
    plan.press("edit")
    start, end = _move_edges(plan, proposal, event, n_rows)
    if label != proposal.label:
        plan.think(1)
        plan.set_label(label)
    plan.press("edgeCommit")
    plan.decide("edit")
    plan.answer.append(Interval(start, end, label))
    return "edit"


def _move_edges(plan: Plan, proposal: Interval, event: Interval, n_rows: int) -> tuple[int, int]:
    slack = _slack(event)
    view = _view(proposal, n_rows)
    edges = [proposal.start, proposal.end]
    side = 0
    for number, wanted in enumerate((event.start, event.end)):
        low, high = wanted - slack - edges[number], wanted + slack - edges[number]
        # An interval has at least one row, and the answer shares one with the event.
        if number:
            low = max(low, max(edges[0], event.start) - edges[1])
        else:
            high = min(high, min(edges[1], event.end) - edges[0])
        if low <= 0 <= high:
            continue
        plan.think(1)
        by_keys, by_mouse = plan.trial(), plan.trial()
        _arrows(by_keys, low, high)
        if number != side:
            by_keys.press("edgeSwitch")
        can_drag = _aim(by_mouse, proposal, wanted, slack, view)
        by_mouse.mouse("drag", edges[number], wanted)
        if can_drag and by_mouse.seconds < by_keys.seconds:
            _aim(plan, proposal, wanted, slack, view)
            plan.mouse("drag", edges[number], wanted)
            edges[number] = wanted
            continue
        if number != side:
            plan.press("edgeSwitch")
            side = number
        edges[number] += _arrows(plan, low, high)
    return edges[0], edges[1]


def _aim(plan: Plan, proposal: Interval, wanted: int, slack: int, view: int) -> bool:
    """See the target wide enough to hit it; whether it can be seen."""
    if (2 * slack + 1) * PLOT_PX / view >= TARGET_PX:
        return True
    plan.press("fit")
    framed = max(4 * len(proposal), 60)
    inside = abs(wanted - (proposal.start + proposal.end) / 2) <= framed / 2
    return inside and (2 * slack + 1) * PLOT_PX / framed >= TARGET_PX


def _arrows(plan: Plan, low: int, high: int) -> int:
    """The fewest arrow keys that move an edge by ``low`` to ``high`` rows; by how much they do."""
    hundreds, tens, ones = min(
        (
            (h, t, d - 100 * h - 10 * t)
            for d in range(low, high + 1)
            for h in (d // 100, d // 100 + 1)
            for t in ((d - 100 * h) // 10, (d - 100 * h) // 10 + 1)
        ),
        key=lambda way: (sum(map(abs, way)), way),
    )
    for count, suffix in ((hundreds, "100"), (tens, "10"), (ones, "")):
        plan.press(f"edge{'Right' if count > 0 else 'Left'}{suffix}", abs(count))
    return 100 * hundreds + 10 * tens + ones


def _draw(plan: Plan, event: Interval, n_rows: int, zoomed: bool) -> bool:
    """Draw an event; whether the view is left zoomed in."""
    plan.think(3)  # that it is one, where it begins, where it ends
    if zoomed:
        plan.press("fitAll")
    width = 2 * _slack(event) + 1
    halvings = max(0, ceil(log2(TARGET_PX * n_rows / (width * PLOT_PX))))
    if halvings:
        plan.mouse("click", (event.start + event.end) // 2)
        plan.press("zoomIn", halvings)
    plan.mouse("drag", event.start, event.end)
    plan.decide("draw")
    plan.think(1)  # of which kind it is
    if event.label != plan.draw_label:
        plan.set_label(event.label)
        plan.decide("relabel")
    plan.answer.append(event)
    return halvings > 0


def _view(proposal: Interval, n_rows: int) -> int:
    """Rows on the screen when the page shows a proposal."""
    if len(proposal) * PLOT_PX / n_rows >= NARROW_PX:
        return n_rows
    return min(n_rows, max(7 * len(proposal), 200))


def _slack(event: Interval) -> int:
    """Rows by which an edge may be off, as `tsloop.evaluation.clicks` has it."""
    return max(1, int(0.1 * len(event)))


def same_answer(truth: Sequence[Interval], answer: Sequence[Interval]) -> bool:
    """Whether an answer is the truth: every event once, edges within the tolerance, its label."""
    found = match_events(truth, answer)
    return not (found.missed or found.false) and all(
        edges_off(truth[t], answer[p]) == 0 and truth[t].label in (answer[p].label, UNSPECIFIC)
        for t, p in found.pairs
    )
