/** The visible part of the time axis, in seconds; never outside the series, never below a floor. */

export interface View { readonly min: number; readonly max: number }

export function width(view: View): number {
  return view.max - view.min
}

/** Shift and shrink a wish into the limits; `floor` is the least width. */
export function fitInto(wish: View, limits: View, floor: number): View {
  const span = Math.min(Math.max(width(wish), floor), Math.max(width(limits), floor))
  const middle = (wish.min + wish.max) / 2
  let min = middle - span / 2
  if (min + span > limits.max) min = limits.max - span
  if (min < limits.min) min = limits.min
  return { min, max: min + span }
}

/** Zoom by `factor` (< 1: closer) so that `anchor` keeps its place on the screen. */
export function zoom(view: View, factor: number, anchor: number): View {
  const share = width(view) > 0 ? (anchor - view.min) / width(view) : 0.5
  const span = width(view) * factor
  return { min: anchor - share * span, max: anchor + (1 - share) * span }
}

export function pan(view: View, share: number): View {
  const by = width(view) * share
  return { min: view.min + by, max: view.max + by }
}

/** Frame a span with room on both sides, at least `floor` wide. */
export function frame(span: View, margin: number, floor: number): View {
  const room = Math.max(width(span) * margin, (floor - width(span)) / 2)
  return { min: span.min - room, max: span.max + room }
}

export function inside(inner: View, outer: View): boolean {
  return inner.min >= outer.min && inner.max <= outer.max
}
