/** The mouse over the plot: drag makes an interval, a click selects and never changes anything. */

import { spanOf, type Span } from '../core/intervals'
import { sampleAt } from '../core/samples'
import { pan, zoom, type View } from '../core/viewport'

export type Grip = { id: string; edge: 'start' | 'end'; span: Span }

export interface GestureHost {
  /** Seconds under a pixel of the plot, and the other way. */
  toTime(px: number): number
  toPx(time: number): number
  view(): View
  setView(view: View): void
  samples(): { row: readonly number[]; t: readonly number[]; y: readonly (number | null)[] }
  nRows(): number
  /** An edge within reach of a pixel that may be dragged now. */
  gripAt(px: number): Grip | null
  preview(span: Span | null, kind: 'draw' | 'erase'): void
  moveEdge(grip: Grip, row: number, end: boolean): void
  draw(span: Span): void
  erase(span: Span): void
  click(row: number, time: number): void
  double(row: number, time: number): void
}

const MOVED_PX = 4

interface Drag {
  kind: 'draw' | 'erase' | 'pan' | 'edge'
  from: number
  view: View
  grip: Grip | null
  live: boolean
}

/** Rows of the samples inside the drag, or null where it holds none. */
function rowsBetween(host: GestureHost, a: number, b: number): Span | null {
  const samples = host.samples()
  const [low, high] = [Math.min(a, b), Math.max(a, b)]
  const first = samples.t.findIndex((time) => time >= low)
  if (first < 0 || samples.t[first]! > high) return null
  let last = first
  while (last + 1 < samples.t.length && samples.t[last + 1]! <= high) last += 1
  return spanOf(samples.row[first]!, samples.row[last]!, host.nRows())
}

export function attach(over: HTMLElement, host: GestureHost): () => void {
  let drag: Drag | null = null
  const px = (event: MouseEvent): number => event.clientX - over.getBoundingClientRect().left

  const down = (event: MouseEvent): void => {
    if (event.button === 2) return
    const at = px(event)
    const grip = event.button === 0 && !event.altKey && !event.shiftKey ? host.gripAt(at) : null
    const kind = event.button === 1 || event.altKey ? 'pan' : grip ? 'edge' : event.shiftKey ? 'erase' : 'draw'
    drag = { kind, from: at, view: host.view(), grip, live: false }
    event.preventDefault()
  }

  const move = (event: MouseEvent): void => {
    const at = px(event)
    if (!drag) {
      over.style.cursor = host.gripAt(at) ? 'ew-resize' : 'crosshair'
      return
    }
    if (!drag.live && Math.abs(at - drag.from) < MOVED_PX) return
    drag.live = true
    if (drag.kind === 'pan') {
      host.setView(pan(drag.view, (drag.from - at) / Math.max(over.clientWidth, 1)))
    } else if (drag.kind === 'edge') follow(at, false)
    else host.preview(rowsBetween(host, host.toTime(drag.from), host.toTime(at)), drag.kind)
  }

  const follow = (at: number, end: boolean): void => {
    const sample = sampleAt(host.samples(), host.toTime(at))
    if (drag?.grip && sample) host.moveEdge(drag.grip, sample.row, end)
  }

  const up = (event: MouseEvent): void => {
    const done = drag
    if (!done) return
    const at = px(event)
    if (!done.live) click(event, at)
    else if (done.kind === 'edge') follow(at, true)
    else if (done.kind !== 'pan') {
      const span = rowsBetween(host, host.toTime(done.from), host.toTime(at))
      host.preview(null, done.kind)
      if (span) host[done.kind](span)
    }
    drag = null
  }

  const click = (event: MouseEvent, at: number): void => {
    const time = host.toTime(at)
    const sample = sampleAt(host.samples(), time)
    if (!sample) return
    if (event.detail === 2) host.double(sample.row, time)
    else host.click(sample.row, time)
  }

  const wheel = (event: WheelEvent): void => {
    event.preventDefault()
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)
    const amount = (event.deltaX || event.deltaY) * (event.deltaMode === 1 ? 16 : 1)
    if (sideways) host.setView(pan(host.view(), amount / 1000))
    else host.setView(zoom(host.view(), Math.exp(event.deltaY * (event.deltaMode === 1 ? 16 : 1) * 0.0018), host.toTime(px(event))))
  }

  over.addEventListener('mousedown', down)
  addEventListener('mousemove', move)
  addEventListener('mouseup', up)
  over.addEventListener('wheel', wheel, { passive: false })
  return () => {
    over.removeEventListener('mousedown', down)
    removeEventListener('mousemove', move)
    removeEventListener('mouseup', up)
    over.removeEventListener('wheel', wheel)
  }
}
