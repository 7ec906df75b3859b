/** What lies under and over the line: other days, intervals, proposals, the edge being edited. */

import type { Samples } from '../api/types'
import type { Mark } from '../core/marks'
import type { View } from '../core/viewport'
import { hatch, markColor, modelColor, type Ink } from './ink'
import { clipText, polyline, type Scale } from './pen'

export const LANE = 15
export const TAGS = 20

export interface Ghost { readonly min: number; readonly max: number; readonly kind: 'draw' | 'erase' | 'edit' }

/** Everything that the layers show, in seconds and CSS pixels. */
export interface Scene {
  ink: Ink; dark: boolean
  left: number; top: number; width: number; height: number
  toX: Scale; toY: Scale
  marks: readonly Mark[]; selected: string | null; lanes: readonly string[]
  times(mark: { start: number; end: number }): View
  name(label: string): string; color(label: string): string
  suspects: readonly { start: number; end: number }[]
  gaps: readonly { start: number; end: number }[]
  gone: readonly { start: number; end: number }[]
  added: ReadonlySet<string>
  days: readonly { offset: number; samples: Samples }[]
  ghost: Ghost | null; activeEdge: 'start' | 'end' | 'both' | null
  cursor: number | null
}

/** Pixels of a span, at least 2 wide, or null where it is outside the plot. */
function bar(scene: Scene, span: View): [number, number] | null {
  const right = scene.left + scene.width
  const from = scene.toX(span.min)
  const to = scene.toX(span.max)
  if (to < scene.left || from > right) return null
  const start = Math.max(from, scene.left - 2)
  return [start, Math.max(2, Math.min(to, right + 2) - start)]
}

export function drawUnder(pen: CanvasRenderingContext2D, scene: Scene): void {
  for (const suspect of scene.suspects) fill(pen, scene, suspect, hatch(pen, scene.ink.alarm, 2, 0.22))
  for (const mark of scene.marks) {
    if (scene.ghost?.kind === 'edit' && mark.id === scene.selected) continue
    if (mark.status === 'rejected') continue
    const color = markColor(mark, scene.ink)
    if (mark.status === 'proposed') {
      const lane = Math.max(0, scene.lanes.indexOf(mark.model ?? ''))
      fill(pen, scene, mark, hatch(pen, modelColor(lane, scene.dark), lane, lane === 0 ? 0.28 : 0.16))
    } else {
      pen.globalAlpha = mark.id === scene.selected ? 0.3 : 0.18
      fill(pen, scene, mark, color)
      pen.globalAlpha = 1
    }
  }
  gaps(pen, scene)
  otherDays(pen, scene)
}

/** Missing samples have a mark on the time axis, because a short gap is easily overlooked. */
function gaps(pen: CanvasRenderingContext2D, scene: Scene): void {
  pen.fillStyle = scene.ink.faint
  for (const gap of scene.gaps) {
    const place = bar(scene, scene.times(gap))
    if (place) pen.fillRect(place[0], scene.top + scene.height - 5, place[1], 5)
  }
}

function fill(
  pen: CanvasRenderingContext2D, scene: Scene, span: { start: number; end: number },
  style: string | CanvasPattern,
): void {
  const place = bar(scene, scene.times(span))
  if (!place) return
  pen.fillStyle = style
  pen.fillRect(place[0], scene.top, place[1], scene.height)
}

function otherDays(pen: CanvasRenderingContext2D, scene: Scene): void {
  pen.lineWidth = 1
  pen.strokeStyle = scene.ink.faint
  for (const day of scene.days) {
    pen.globalAlpha = Math.max(0.3, 0.8 - Math.abs(day.offset) * 0.1)
    pen.setLineDash(day.offset < 0 ? [] : [4, 3])
    polyline(pen, day.samples.t, day.samples.y, scene.toX, scene.toY)
  }
  pen.setLineDash([])
  pen.globalAlpha = 1
}

export function drawOver(pen: CanvasRenderingContext2D, scene: Scene): void {
  pen.font = '11px system-ui, sans-serif'
  pen.textBaseline = 'middle'
  pen.textAlign = 'left' // uPlot leaves it as its last axis had it
  const chosen = scene.marks.filter((mark) => mark.id === scene.selected)
  for (const mark of [...scene.marks, ...chosen]) { // the chosen one lies on top
    if (scene.ghost?.kind === 'edit' && mark.id === scene.selected) continue
    if (mark.region) interval(pen, scene, mark)
    else proposal(pen, scene, mark)
  }
  for (const span of scene.gone) outline(pen, scene, span)
  if (scene.ghost) ghost(pen, scene, scene.ghost)
  if (scene.cursor !== null) cursor(pen, scene, scene.cursor)
}

/** A solid frame with its label on top: what a person stands for. */
function interval(pen: CanvasRenderingContext2D, scene: Scene, mark: Mark): void {
  const place = bar(scene, scene.times(mark))
  if (!place) return
  const chosen = mark.id === scene.selected
  const [x, wide] = place
  pen.fillStyle = markColor(mark, scene.ink)
  const edge = chosen ? 2 : 1
  pen.fillRect(x, scene.top, edge, scene.height)
  pen.fillRect(x + wide - edge, scene.top, edge, scene.height)
  const top = scene.top - TAGS + 3
  pen.fillRect(x, scene.top - 3, wide, 3)
  pen.fillStyle = scene.color(mark.label)
  pen.fillRect(x, top + 3, 4, 9)
  pen.fillStyle = chosen ? scene.ink.line : scene.ink.text
  pen.font = chosen ? '600 11px system-ui, sans-serif' : '11px system-ui, sans-serif'
  const text = `${scene.name(mark.label)}${mark.comment ? ' ✎' : ''}`
  pen.fillText(clipText(pen, text, Math.max(wide - 6, chosen ? 160 : 0)), x + 7, top + 8)
}

/** A bar in the lane of its model, struck out when rejected. */
function proposal(pen: CanvasRenderingContext2D, scene: Scene, mark: Mark): void {
  const place = bar(scene, scene.times(mark))
  if (!place) return
  const [x, wide] = place
  const index = Math.max(0, scene.lanes.indexOf(mark.model ?? ''))
  const top = scene.top - TAGS - LANE * (scene.lanes.length - index)
  const chosen = mark.id === scene.selected
  const rejected = mark.status === 'rejected'
  const color = rejected ? scene.ink.rejected : modelColor(index, scene.dark)
  pen.fillStyle = hatch(pen, color, index, rejected ? 0.25 : 0.8)
  pen.fillRect(x, top + 1, wide, LANE - 3)
  pen.strokeStyle = color
  pen.lineWidth = chosen ? 2 : 1
  pen.strokeRect(x + 0.5, top + 1.5, Math.max(1, wide - 1), LANE - 4)
  if (chosen) {
    pen.strokeRect(x + 1, scene.top, Math.max(1, wide - 2), scene.height - 1)
  }
  const news = scene.added.has(mark.id) ? '+ ' : ''
  const score = mark.score === null ? '' : ` ${mark.score.toFixed(2)}`
  const text = `${rejected ? '✕ ' : news}${scene.name(mark.label)}${score}`
  pen.font = chosen ? '600 11px system-ui, sans-serif' : '11px system-ui, sans-serif'
  const words = clipText(pen, text, chosen ? 220 : wide - 6)
  if (words) {
    const room = pen.measureText(words).width
    pen.fillStyle = scene.ink.ground
    pen.globalAlpha = 0.85
    pen.fillRect(x + 3, top + 2, room + 4, LANE - 5)
    pen.globalAlpha = 1
    pen.fillStyle = rejected ? scene.ink.faint : scene.ink.text
    pen.fillText(words, x + 5, top + LANE / 2)
  }
}

/** What the last iteration had proposed and this one does not. */
function outline(pen: CanvasRenderingContext2D, scene: Scene, span: { start: number; end: number }): void {
  const place = bar(scene, scene.times(span))
  if (!place) return
  pen.strokeStyle = scene.ink.faint
  pen.lineWidth = 1
  pen.setLineDash([2, 3])
  pen.strokeRect(place[0] + 0.5, scene.top + 2, place[1], scene.height - 4)
  pen.setLineDash([])
}

function ghost(pen: CanvasRenderingContext2D, scene: Scene, shape: Ghost): void {
  const place = bar(scene, shape)
  if (!place) return
  const [x, wide] = place
  const color = shape.kind === 'erase' ? scene.ink.alarm : scene.ink.kept
  pen.globalAlpha = 0.22
  pen.fillStyle = color
  pen.fillRect(x, scene.top, wide, scene.height)
  pen.globalAlpha = 1
  for (const side of ['start', 'end'] as const) {
    const active = scene.activeEdge === side || scene.activeEdge === 'both'
    const px = side === 'start' ? x : x + wide
    pen.fillStyle = color
    pen.fillRect(px - (active ? 1.5 : 0.5), scene.top, active ? 3 : 1, scene.height)
    if (active) {
      pen.beginPath()
      pen.arc(px, scene.top + scene.height / 2, 5, 0, Math.PI * 2)
      pen.fill()
    }
  }
}

function cursor(pen: CanvasRenderingContext2D, scene: Scene, time: number): void {
  const x = Math.round(scene.toX(time)) + 0.5
  if (x < scene.left || x > scene.left + scene.width) return
  pen.strokeStyle = scene.ink.cursor
  pen.lineWidth = 1
  pen.setLineDash([4, 3])
  pen.beginPath()
  pen.moveTo(x, scene.top)
  pen.lineTo(x, scene.top + scene.height)
  pen.stroke()
  pen.setLineDash([])
}
