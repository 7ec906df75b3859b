/** Between the wire and what the page thinks in. */

import { resultOf } from '../core/edit'
import type { Draft, ItemState, Region } from '../core/types'
import type { Content, ContentInterval, Points, Samples, Window } from './types'

function toRegion(interval: ContentInterval): Region {
  return {
    id: interval.id, start: interval.start, end: interval.end, label: interval.label,
    basis: interval.basis, proposal: interval.proposal, comment: interval.comment ?? '',
    score: interval.score ?? null, reason: interval.reason ?? '',
  }
}

export function toDraft(content: Content): Draft {
  return {
    none: content.result === 'none', intervals: content.intervals.map(toRegion),
    rejected: content.rejected, overall: content.overall, comment: content.comment,
    unsure: content.unsure,
  }
}

/** An answer that is not final keeps its intervals and says no result yet. */
export function toContent(draft: Draft, state: ItemState): Content {
  const result = resultOf(draft)
  return {
    state, result: state === 'done' || result === 'none' ? result : null,
    intervals: draft.intervals.map(({ id, start, end, label, basis, proposal, comment, score, reason }) => (
      { id, start, end, label, basis, proposal, comment, score, reason })),
    rejected: [...draft.rejected], overall: { ...draft.overall }, comment: draft.comment,
    unsure: draft.unsure,
  }
}

function nullable(values: Float64Array): (number | null)[] {
  const list = new Array<number | null>(values.length)
  for (let i = 0; i < values.length; i++) list[i] = Number.isNaN(values[i]) ? null : values[i]!
  return list
}

/** `u32 n, exact, start, end; f64 t_ms[n]; f64 y[n]; u32 row[n]`, little endian. */
export function decodeWindow(buffer: ArrayBuffer): Window {
  const [n = 0, flags = 0, start = 0, end = 0] = new Uint32Array(buffer, 0, 4)
  const t = new Float64Array(buffer, 16, n).map((ms) => ms / 1000)
  const y = nullable(new Float64Array(buffer, 16 + 8 * n, n))
  return { row: new Uint32Array(buffer, 16 + 16 * n, n), t, y, start, end, exact: (flags & 1) === 1 }
}

export function toSamples(points: Points): Samples {
  return { row: points.row, t: points.t_ms.map((ms) => ms / 1000), y: points.y }
}
