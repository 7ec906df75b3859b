/** Editing the edges of one interval: arrows or mouse move them, one decision at the end. */

import { acceptEdited, change, draw } from '../core/edit'
import { moveEdge, spanOf, type Edge, type Span } from '../core/intervals'
import { sampleOfRow } from '../core/samples'
import * as data from './data'
import * as review from './review'

export function beginEdit(which: Edge = 'start'): boolean {
  const mark = review.mark.value
  if (!mark) return false
  const { id, start, end, label } = mark
  review.edge.value = { id, edge: which, span: { start, end }, label, fresh: false }
  data.reveal({ start, end })
  void data.loadAround(which === 'end' ? end : start)
  return true
}

/** A new interval at the cursor, wide enough to be seen; it is nothing before it is kept. */
export function beginDraw(): void {
  const item = review.item.value
  if (!item) return
  const samples = data.samples.value
  const middle = (data.view.value.min + data.view.value.max) / 2
  const start = review.cursorRow.value ?? rowAt(middle)
  const wide = rowAt(data.timeOf(start) + (data.view.value.max - data.view.value.min) * 0.03)
  if (samples.row.length === 0) return
  const span = spanOf(start, Math.max(wide, start), item.series.n_rows)
  review.edge.value = { id: '', edge: 'end', span, label: review.drawLabel.value, fresh: true }
  void data.loadAround(span.end)
}

function rowAt(time: number): number {
  const { row, t } = data.samples.value
  let low = 0
  while (low < t.length - 1 && t[low]! < time) low += 1
  return row[low] ?? 0
}

export function moveBy(rows: number): void {
  const edge = review.edge.value
  const item = review.item.value
  if (!edge || !item) return
  const span = moveEdge(edge.span, edge.edge, rows, item.series.n_rows)
  review.edge.value = { ...edge, span }
  const row = edge.edge === 'end' ? span.end : span.start
  if (!sampleOfRow(data.samples.value, row)) void data.loadAround(row)
  follow(span, edge.edge)
}

/** Keep the moving edge on the screen. */
function follow(span: Span, edge: Edge): void {
  const time = data.timeOf(edge === 'end' ? span.end : span.start)
  const { min, max } = data.view.value
  if (time < min || time > max) data.setView({ min: time - (max - min) / 2, max: time + (max - min) / 2 })
}

export function switchEdge(): void {
  const edge = review.edge.value
  if (!edge) return
  const order: Edge[] = ['start', 'end', 'both']
  const next = order[(order.indexOf(edge.edge) + 1) % order.length]!
  review.edge.value = { ...edge, edge: next }
  void data.loadAround(next === 'end' ? edge.span.end : edge.span.start)
}

export function setSpan(span: Span): void {
  if (review.edge.value) review.edge.value = { ...review.edge.value, span }
}
export function setLabel(label: string): void {
  if (review.edge.value) review.edge.value = { ...review.edge.value, label }
}
export function cancel(): void { review.edge.value = null }

/** Keep what was edited. A proposal becomes the reviewer's own interval only now. */
export function keep(): void {
  const edge = review.edge.value
  if (!edge) return
  const mark = review.marks.value.find((one) => one.id === edge.id)
  review.edge.value = null
  const wanted = { ...edge.span, label: edge.label }
  if (edge.fresh) return drawn(edge.span, edge.label)
  if (!mark) return
  if (mark.region) review.commit(change(review.draft.value, mark.id, wanted), 'edit')
  else if (mark.proposal) {
    review.commit(acceptEdited(review.draft.value, mark.proposal, wanted), 'edit')
    review.select(ofProposal(mark.proposal.id), false)
  }
}

function ofProposal(proposal: string): string | null {
  return review.draft.value.intervals.find((one) => one.proposal === proposal)?.id ?? null
}

export function drawn(span: Span, label = review.drawLabel.value): void {
  const known = new Set(review.draft.value.intervals.map((one) => one.id))
  review.commit(draw(review.draft.value, span, label), 'draw')
  review.select(review.draft.value.intervals.find((one) => !known.has(one.id))?.id ?? null, false)
}
