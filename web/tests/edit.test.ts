import { describe, expect, it } from 'vitest'
import * as edit from '../src/core/edit'
import { cut, iou, join, moveEdge, nearestIndex, setEdge, spanOf, split } from '../src/core/intervals'
import { marksOf, nextUndecided, step, difference } from '../src/core/marks'
import { begin, push, redo, undo } from '../src/core/history'
import { EMPTY_DRAFT, type Proposal } from '../src/core/types'

const proposal = (id: string, start: number, end: number, score: number | null = 0.9): Proposal => (
  { id, start, end, label: 'spike', score, reason: '', model: 'm' })
const P = proposal('p', 10, 20)
const Q = proposal('q', 30, 30, 0.4)

describe('intervals', () => {
  it('take either direction and stay inside the series', () => {
    expect(spanOf(9, 3, 100)).toEqual({ start: 3, end: 9 })
    expect(spanOf(-5, 400, 100)).toEqual({ start: 0, end: 99 })
    expect(spanOf(7, 7, 100)).toEqual({ start: 7, end: 7 })
  })
  it('never lose their last row and stop at the ends', () => {
    expect(moveEdge({ start: 4, end: 6 }, 'start', 10, 10)).toEqual({ start: 6, end: 6 })
    expect(moveEdge({ start: 4, end: 6 }, 'end', 10, 10)).toEqual({ start: 4, end: 9 })
    expect(moveEdge({ start: 4, end: 6 }, 'both', -10, 10)).toEqual({ start: 0, end: 2 })
    expect(moveEdge({ start: 4, end: 6 }, 'both', 10, 10)).toEqual({ start: 7, end: 9 })
  })
  it('turn around when an edge is dragged past the other', () => {
    expect(setEdge({ start: 4, end: 6 }, 'start', 8, 10)).toEqual({ start: 6, end: 8 })
  })
  it('are cut, split and joined without losing rows', () => {
    expect(cut({ start: 0, end: 9 }, { start: 3, end: 5 })).toEqual([{ start: 0, end: 2 }, { start: 6, end: 9 }])
    expect(cut({ start: 3, end: 5 }, { start: 0, end: 9 })).toEqual([])
    expect(cut({ start: 3, end: 5 }, { start: 6, end: 9 })).toEqual([{ start: 3, end: 5 }])
    expect(split({ start: 3, end: 5 }, 3)).toBeNull()
    expect(split({ start: 3, end: 5 }, 5)).toEqual([{ start: 3, end: 4 }, { start: 5, end: 5 }])
    expect(join({ start: 3, end: 5 }, { start: 8, end: 9 })).toEqual({ start: 3, end: 9 })
    expect(iou({ start: 0, end: 3 }, { start: 2, end: 5 })).toBeCloseTo(2 / 6)
    expect(iou({ start: 0, end: 1 }, { start: 2, end: 5 })).toBe(0)
  })
  it('find the nearest of sorted values', () => {
    expect(nearestIndex([], 3)).toBe(-1)
    expect([-1, 4.9, 5.1, 99].map((x) => nearestIndex([0, 10, 20], x))).toEqual([0, 0, 1, 2])
  })
})

describe('decisions', () => {
  it('accept as proposed, reject, and change one\'s mind', () => {
    let draft = edit.accept(EMPTY_DRAFT, P)
    expect(draft.intervals[0]).toMatchObject({ start: 10, end: 20, basis: 'accepted', proposal: 'p' })
    expect(edit.verdictOf(draft, 'p')).toBe('accepted')
    draft = edit.reject(draft, P)
    expect(draft.intervals).toEqual([])
    expect(edit.verdictOf(draft, 'p')).toBe('rejected')
    draft = edit.accept(draft, P)
    expect(draft.rejected).toEqual([])
    expect(edit.undecided(draft, [P, Q])).toEqual([Q])
  })
  it('record by whose hand an interval is as it is', () => {
    const accepted = edit.accept(EMPTY_DRAFT, P)
    const id = accepted.intervals[0]!.id
    expect(edit.change(accepted, id, { end: 20 })).toBe(accepted)
    expect(edit.change(accepted, id, { end: 21 }).intervals[0]!.basis).toBe('edited')
    expect(edit.change(accepted, id, { label: 'step' }).intervals[0]!.basis).toBe('edited')
    expect(edit.note(accepted, id, 'why').intervals[0]!.basis).toBe('accepted')
    const drawn = edit.draw(EMPTY_DRAFT, { start: 1, end: 2 }, 'step', 'r')
    expect(edit.change(drawn, 'r', { end: 5 }).intervals[0]!.basis).toBe('human')
  })
  it('erase cuts in two; what is gone counts as rejected', () => {
    const draft = edit.accept(EMPTY_DRAFT, P)
    const holed = edit.erase(draft, { start: 14, end: 15 })
    expect(holed.intervals.map(({ start, end }) => [start, end])).toEqual([[10, 13], [16, 20]])
    expect(new Set(holed.intervals.map((one) => one.id)).size).toBe(2)
    expect(edit.verdictOf(holed, 'p')).toBe('accepted')
    const gone = edit.erase(holed, { start: 0, end: 50 })
    expect(gone.intervals).toEqual([])
    expect(gone.rejected).toEqual(['p'])
    expect(edit.erase(gone, { start: 0, end: 9 })).toBe(gone)
  })
  it('split and merge', () => {
    const draft = edit.draw(EMPTY_DRAFT, { start: 10, end: 20 }, 'step', 'r')
    const two = edit.splitAt(draft, 'r', 15)
    expect(two.intervals.map(({ start, end }) => [start, end])).toEqual([[10, 14], [15, 20]])
    expect(edit.mergeNext(two, 'r').intervals.map(({ start, end }) => [start, end])).toEqual([[10, 20]])
    expect(edit.mergeNext(draft, 'r')).toBe(draft)
    expect(edit.splitAt(draft, 'r', 10)).toBe(draft)
  })
  it('"no anomaly here" is an answer of its own, and drawing takes it back', () => {
    expect(edit.resultOf(EMPTY_DRAFT)).toBeNull()
    const none = edit.answerNone(edit.accept(EMPTY_DRAFT, P), [P, Q])
    expect(edit.resultOf(none)).toBe('none')
    expect(none.rejected).toEqual(['p', 'q'])
    const drawn = edit.draw(none, { start: 1, end: 2 }, 'step')
    expect(edit.resultOf(drawn)).toBe('ok')
    expect(edit.resultOf(edit.remove(drawn, drawn.intervals[0]!.id))).toBeNull()
  })
  it('a batch is one value: one step of undo', () => {
    const unscored = proposal('u', 50, 60, null)
    const all = [P, Q, unscored]
    expect(edit.above(EMPTY_DRAFT, all, 0.4).map((one) => one.id)).toEqual(['p', 'q'])
    expect(edit.below(EMPTY_DRAFT, all, 0.5).map((one) => one.id)).toEqual(['q'])
    const history = push(begin(EMPTY_DRAFT), edit.judgeAll(EMPTY_DRAFT, edit.above(EMPTY_DRAFT, all, 0.4), 'accepted'))
    expect(history.present.intervals).toHaveLength(2)
    expect(undo(history).present).toBe(EMPTY_DRAFT)
    expect(redo(undo(history)).present).toBe(history.present)
  })
  it('tell overlaps of one label, and attributes toggle', () => {
    const first = edit.draw(EMPTY_DRAFT, { start: 1, end: 5 }, 'step', 'a')
    expect(edit.clashes(edit.draw(first, { start: 5, end: 9 }, 'step', 'b'))).toEqual(['b'])
    expect(edit.clashes(edit.draw(first, { start: 5, end: 9 }, 'spike', 'b'))).toEqual([])
    const set = edit.setOverall(first, 'trend', 'up')
    expect(set.overall).toEqual({ trend: 'up' })
    expect(edit.setOverall(set, 'trend', 'up').overall).toEqual({})
  })
})

describe('answers', () => {
  it('are the same whatever order rejections came in', () => {
    const one = edit.reject(edit.reject(EMPTY_DRAFT, P), Q)
    const other = edit.reject(edit.reject(EMPTY_DRAFT, Q), P)
    expect(edit.sameAnswer(one, other)).toBe(true)
    expect(edit.sameAnswer(one, edit.reject(EMPTY_DRAFT, P))).toBe(false)
  })
})

describe('history', () => {
  it('forgets what was undone when something new is done, and ends at both ends', () => {
    let history = push(push(begin(1), 2), 3)
    history = push(undo(history), 9)
    expect(history.future).toEqual([])
    expect(redo(history)).toBe(history)
    expect(undo(undo(undo(history))).present).toBe(1)
    expect(push(history, 9)).toBe(history)
  })
})

describe('marks', () => {
  const draft = edit.reject(edit.accept(EMPTY_DRAFT, P), Q)
  it('show an accepted proposal once, as the interval it became', () => {
    expect(marksOf(draft, [P, Q]).map((mark) => mark.status)).toEqual(['accepted', 'rejected'])
  })
  it('are walked around the end', () => {
    const marks = marksOf(EMPTY_DRAFT, [P, Q])
    expect(step(marks, null, 1)?.id).toBe('p')
    expect(step(marks, 'q', 1)?.id).toBe('p')
    expect(step(marks, 'p', -1)?.id).toBe('q')
    expect(step([], null, 1)).toBeNull()
  })
  it('lead to the next undecided one', () => {
    const wanted = new Set(['p', 'q'])
    expect(nextUndecided(marksOf(EMPTY_DRAFT, [P, Q]), 15, wanted)?.id).toBe('q')
    expect(nextUndecided(marksOf(EMPTY_DRAFT, [P]), 15, wanted)?.id).toBe('p')
    expect(nextUndecided(marksOf(draft, [P, Q]), 0, wanted)).toBeNull()
  })
  it('tell what an iteration added', () => {
    const moved = proposal('x', 12, 22)
    expect(difference([moved, Q], [P])).toEqual({ added: [Q], gone: [] })
    expect(difference([], [P])).toEqual({ added: [], gone: [P] })
  })
})
