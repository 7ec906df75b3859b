/** Operations on lists of intervals. All return new lists sorted by row; none changes its input. */

export interface Span { readonly start: number; readonly end: number }
export type Edge = 'start' | 'end' | 'both'

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high)
}

/** The span between two rows in whichever order they were marked, inside the series. */
export function spanOf(a: number, b: number, nRows: number): Span {
  const last = Math.max(nRows - 1, 0)
  return { start: clamp(Math.min(a, b), 0, last), end: clamp(Math.max(a, b), 0, last) }
}

export function length(span: Span): number {
  return span.end - span.start + 1
}

export function overlaps(a: Span, b: Span): boolean {
  return a.start <= b.end && b.start <= a.end
}

/** Intersection over union, counted in rows. */
export function iou(a: Span, b: Span): number {
  const common = Math.min(a.end, b.end) - Math.max(a.start, b.start) + 1
  return common <= 0 ? 0 : common / (length(a) + length(b) - common)
}

export function sorted<T extends Span>(list: readonly T[]): T[] {
  return [...list].sort((a, b) => a.start - b.start || a.end - b.end)
}

/**
 * Move one edge, or the whole interval, by `rows`. An edge stops at the other one (an interval has
 * at least one row) and at the ends of the series; a whole interval keeps its length.
 */
export function moveEdge<T extends Span>(span: T, edge: Edge, rows: number, nRows: number): T {
  const last = nRows - 1
  if (edge === 'start') return { ...span, start: clamp(span.start + rows, 0, span.end) }
  if (edge === 'end') return { ...span, end: clamp(span.end + rows, span.start, last) }
  const step = clamp(rows, -span.start, last - span.end)
  return { ...span, start: span.start + step, end: span.end + step }
}

/** Set one edge to a row; dragging it past the other one turns the interval around. */
export function setEdge<T extends Span>(span: T, edge: 'start' | 'end', row: number, nRows: number): T {
  const fixed = edge === 'start' ? span.end : span.start
  return { ...span, ...spanOf(fixed, row, nRows) }
}

/** Cut `[hole.start, hole.end]` out of one interval: zero, one or two pieces are left. */
export function cut<T extends Span>(span: T, hole: Span): T[] {
  if (!overlaps(span, hole)) return [span]
  const pieces: T[] = []
  if (span.start < hole.start) pieces.push({ ...span, end: hole.start - 1 })
  if (span.end > hole.end) pieces.push({ ...span, start: hole.end + 1 })
  return pieces
}

/** Two neighbours, the second one beginning at `row`; a split at the first row is none. */
export function split<T extends Span>(span: T, row: number): [T, T] | null {
  if (row <= span.start || row > span.end) return null
  return [{ ...span, end: row - 1 }, { ...span, start: row }]
}

/** The smallest interval around both, with everything else from the first. */
export function join<T extends Span>(a: T, b: Span): T {
  return { ...a, start: Math.min(a.start, b.start), end: Math.max(a.end, b.end) }
}

/** Index of the value of a sorted array that lies nearest to `x`, -1 where it is empty. */
export function nearestIndex(values: ArrayLike<number>, x: number): number {
  if (values.length === 0) return -1
  let low = 0
  let high = values.length - 1
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (values[middle]! <= x) low = middle
    else high = middle
  }
  return x - values[low]! <= values[high]! - x ? low : high
}
