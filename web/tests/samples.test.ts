import { describe, expect, it } from 'vitest'
import { decodeWindow, toContent, toDraft } from '../src/api/convert'
import { query } from '../src/api/client'
import { chosen, compare, merged } from '../src/core/conflict'
import { accept, answerNone, draw } from '../src/core/edit'
import { breakLines, compose, sampleAt, sampleOfRow, statistics, timeOfRow } from '../src/core/samples'
import { formatDuration, formatTime, formatValue } from '../src/core/time'
import { EMPTY_DRAFT } from '../src/core/types'
import { fitInto, frame, inside, pan, zoom } from '../src/core/viewport'

const list = (row: number[]) => ({ row, t: row.map((r) => r * 10), y: row.map((r) => r as number | null) })

describe('samples', () => {
  const all = compose(list([0, 50, 100]), list([40, 41, 42, 60]))
  it('put detail into the overview', () => {
    expect(all.row).toEqual([0, 40, 41, 42, 60, 100])
    expect(compose(list([0, 100]), null).row).toEqual([0, 100])
  })
  it('map rows to times and back to real samples only', () => {
    expect(timeOfRow(all, 41)).toBe(410)
    expect(timeOfRow(all, 20)).toBe(200)
    expect(timeOfRow(all, 120)).toBe(1200)
    expect(sampleAt(all, 416)).toEqual({ row: 42, t: 420, y: 42 })
    expect(sampleOfRow(all, 43)).toBeNull()
  })
  it('break the line where rows are missing in time, not where it is thinned', () => {
    const jump = { row: [0, 1, 2, 9], t: [0, 10, 500, 1000], y: [1, 2, 3, 4] }
    expect(breakLines(jump, 10).y).toEqual([1, 2, null, 3, 4])
    expect(breakLines(jump, null).y).toEqual([1, 2, 3, 4])
  })
  it('have statistics that say whether they are exact', () => {
    const gap = { row: [1, 2, 3], t: [1, 2, 3], y: [2, null, 4] }
    expect(statistics(gap, 1, 3)).toMatchObject({ n: 2, min: 2, max: 4, mean: 3, sd: 1, exact: true })
    expect(statistics(gap, 0, 3)?.exact).toBe(false)
    expect(statistics({ row: [2], t: [2], y: [null] }, 1, 3)).toBeNull()
  })
  it('come over the wire as bytes, gaps as null', () => {
    const buffer = new ArrayBuffer(16 + 2 * 20)
    new Uint32Array(buffer, 0, 4).set([2, 1, 7, 8])
    new Float64Array(buffer, 16, 2).set([1000, 2000])
    new Float64Array(buffer, 32, 2).set([1.5, NaN])
    new Uint32Array(buffer, 48, 2).set([7, 8])
    const window = decodeWindow(buffer)
    expect([...window.t]).toEqual([1, 2])
    expect(window).toMatchObject({ y: [1.5, null], start: 7, end: 8, exact: true })
    expect([...window.row]).toEqual([7, 8])
  })
})

describe('view', () => {
  const limits = { min: 0, max: 100 }
  it('stays inside and keeps its width', () => {
    expect(fitInto({ min: -20, max: 20 }, limits, 1)).toEqual({ min: 0, max: 40 })
    expect(fitInto({ min: 90, max: 130 }, limits, 1)).toEqual({ min: 60, max: 100 })
    expect(fitInto({ min: 50, max: 50 }, limits, 4)).toEqual({ min: 48, max: 52 })
    expect(fitInto({ min: -500, max: 900 }, limits, 1)).toEqual(limits)
  })
  it('zooms around a point, pans, frames', () => {
    expect(zoom(limits, 0.5, 20)).toEqual({ min: 10, max: 60 })
    expect(pan(limits, 0.25)).toEqual({ min: 25, max: 125 })
    expect(frame({ min: 10, max: 20 }, 1, 0)).toEqual({ min: 0, max: 30 })
    expect(inside({ min: 1, max: 2 }, limits)).toBe(true)
  })
})

describe('words', () => {
  it('tell the zone of the plant, over the change of clocks too', () => {
    expect(formatTime(Date.UTC(2026, 2, 29, 0, 59, 59), 'Europe/Berlin')).toBe('2026-03-29 01:59:59 +01:00')
    expect(formatTime(Date.UTC(2026, 2, 29, 1, 0, 0) + 250, 'Europe/Berlin')).toBe('2026-03-29 03:00:00.25 +02:00')
    expect(formatTime(0, 'Asia/Shanghai', false)).toBe('1970-01-01 08:00:00')
    expect(formatTime(0, 'UTC')).toBe('1970-01-01 00:00:00 +00:00')
    expect(formatTime(NaN, 'UTC')).toBe('–')
  })
  it('are short', () => {
    expect([500, 61_000, 3_600_000, 100_000_000].map(formatDuration)).toEqual(['0.5 s', '1 min', '1 h', '1 d 3 h'])
    expect([null, 0, 1234.5678, 1e9, -2e-6].map(formatValue)).toEqual(['–', '0', '1234.57', '1.000e+9', '-2.000e-6'])
    expect(query({ a: ['x', 'y z'], b: null, c: 0 })).toBe('?a=x&a=y+z&c=0')
  })
})

describe('conflicts', () => {
  const P = { id: 'p', start: 10, end: 20, label: 's', score: 0.9, reason: '', model: 'm' }
  const mine = draw(accept(EMPTY_DRAFT, P), { start: 50, end: 60 }, 's', 'own')
  const theirs = draw({ ...accept(EMPTY_DRAFT, { ...P, end: 25 }), comment: 'hm' }, { start: 80, end: 90 }, 's', 'other')
  const rows = compare(mine, theirs)
  it('pair what belongs together', () => {
    expect(rows.map((row) => row.kind)).toEqual(['changed', 'mine', 'theirs'])
    expect(compare(mine, mine).every((row) => row.kind === 'same')).toBe(true)
  })
  it('give what was chosen, and no more', () => {
    expect(chosen(rows[0]!, 'both')).toHaveLength(2)
    const both = merged(rows, ['theirs', 'mine', 'theirs'], mine, false)
    expect(both.intervals.map((one) => [one.start, one.end])).toEqual([[10, 25], [50, 60], [80, 90]])
    const none = merged(rows, ['neither', 'neither', 'neither'], answerNone(mine, [P]), true)
    expect(none).toMatchObject({ intervals: [], none: true, rejected: ['p'] })
  })
})

describe('wire', () => {
  it('sends a result only with a final answer', () => {
    const draft = draw(EMPTY_DRAFT, { start: 1, end: 2 }, 's', 'r')
    expect(toContent(draft, 'in_review').result).toBeNull()
    expect(toContent(draft, 'done').result).toBe('ok')
    expect(toContent(answerNone(draft, []), 'in_review').result).toBe('none')
    expect(toDraft(toContent(draft, 'done'))).toEqual(draft)
  })
})
