/** Samples in time order, and the way between rows, times and screen. */

import { nearestIndex } from './intervals'

export interface SampleList {
  readonly row: readonly number[]
  readonly t: readonly number[]
  readonly y: readonly (number | null)[]
}

export interface AnySamples {
  readonly row: ArrayLike<number>
  readonly t: ArrayLike<number>
  readonly y: ArrayLike<number | null>
}

export const NO_SAMPLES: SampleList = { row: [], t: [], y: [] }

/** The detail where it is there, the overview around it, so that a pan never meets a white page. */
export function compose(overview: AnySamples, detail: AnySamples | null): SampleList {
  const row: number[] = []
  const t: number[] = []
  const y: (number | null)[] = []
  const add = (from: AnySamples, begin: number, end: number): void => {
    for (let i = begin; i < end; i++) {
      row.push(from.row[i]!)
      t.push(from.t[i]!)
      y.push(from.y[i] ?? null)
    }
  }
  if (!detail || detail.row.length === 0) {
    add(overview, 0, overview.row.length)
    return { row, t, y }
  }
  const first = detail.row[0]!
  const last = detail.row[detail.row.length - 1]!
  let index = 0
  while (index < overview.row.length && overview.row[index]! < first) index += 1
  add(overview, 0, index)
  add(detail, 0, detail.row.length)
  while (index < overview.row.length && overview.row[index]! <= last) index += 1
  add(overview, index, overview.row.length)
  return { row, t, y }
}

/**
 * A null between two samples that are further apart than the series' step allows: where rows are
 * missing there is no line, either. Only neighbours (row + 1) can tell; thinned ones do not.
 */
export function breakLines(samples: SampleList, stepSeconds: number | null): {
  t: number[]; y: (number | null)[]
} {
  const limit = stepSeconds === null ? Infinity : stepSeconds * 2.5
  const t: number[] = []
  const y: (number | null)[] = []
  for (let i = 0; i < samples.t.length; i++) {
    const now = samples.t[i]!
    const before = i > 0 ? samples.t[i - 1]! : now
    if (now - before > limit && samples.row[i]! - samples.row[i - 1]! === 1) {
      t.push((before + now) / 2)
      y.push(null)
    }
    t.push(now)
    y.push(samples.y[i]!)
  }
  return { t, y }
}

/** Time of a row: exact where it was loaded, between neighbours elsewhere. */
export function timeOfRow(samples: AnySamples, row: number): number {
  return between(samples.row, samples.t, row)
}

/** The loaded sample nearest to a time: pixels never become truth, samples do. */
export function sampleAt(samples: AnySamples, time: number): { row: number; t: number; y: number | null } | null {
  const index = nearestIndex(samples.t, time)
  return index < 0 ? null : {
    row: samples.row[index]!, t: samples.t[index]!, y: samples.y[index] ?? null,
  }
}

export function sampleOfRow(samples: AnySamples, row: number): { t: number; y: number | null } | null {
  const index = nearestIndex(samples.row, row)
  return index >= 0 && samples.row[index] === row
    ? { t: samples.t[index]!, y: samples.y[index] ?? null } : null
}

function between(xs: ArrayLike<number>, ys: ArrayLike<number>, x: number): number {
  const near = nearestIndex(xs, x)
  if (near < 0) return NaN
  if (xs[near] === x || xs.length === 1) return ys[near]!
  const low = Math.min(Math.max(xs[near]! <= x ? near : near - 1, 0), xs.length - 2)
  const share = (x - xs[low]!) / (xs[low + 1]! - xs[low]!)
  return ys[low]! + share * (ys[low + 1]! - ys[low]!)
}

export interface Statistics { n: number; min: number; max: number; mean: number; sd: number; exact: boolean }

/** Of the loaded samples in `[start, end]`; `exact` where none of these rows is left out. */
export function statistics(samples: AnySamples, start: number, end: number): Statistics | null {
  let n = 0, seen = 0, sum = 0, squares = 0, min = Infinity, max = -Infinity
  let i = nearestIndex(samples.row, start)
  if (i < 0) return null
  if (samples.row[i]! < start) i += 1
  for (; i < samples.row.length && samples.row[i]! <= end; i++) {
    seen += 1
    const value = samples.y[i]
    if (value === null || value === undefined) continue
    n += 1
    const delta = value - sum
    sum += delta / n // running mean and squares (Welford)
    squares += delta * (value - sum)
    min = Math.min(min, value)
    max = Math.max(max, value)
  }
  if (n === 0) return null
  return { n, min, max, mean: sum, sd: Math.sqrt(squares / n), exact: seen === end - start + 1 }
}
