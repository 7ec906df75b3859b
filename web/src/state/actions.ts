/** What every key and button of the review view does. */

import { watch } from 'vue'
import * as calls from '../api/calls'
import * as edit from '../core/edit'
import { redo, undo } from '../core/history'
import type { Found } from '../core/keys'
import { nextUndecided, step } from '../core/marks'
import { nearestIndex } from '../core/intervals'
import { pan, zoom } from '../core/viewport'
import type { ItemState } from '../core/types'
import { complain, dialog, go, labelSet, movesOn, say, session, t } from './app'
import * as data from './data'
import * as edges from './edges'
import * as queue from './queue'
import * as review from './review'
import { newKey, status } from './saver'

const ids = (): Set<string> => new Set(review.asked.value.map((one) => one.id))

/** To the next proposal that waits; after the last one the item is done, if the setting says so. */
function moveOn(row: number): void {
  const next = nextUndecided(review.marks.value, row, ids())
  if (next) review.select(next.id)
}

function judge(verdict: 'accept' | 'reject'): void {
  const mark = review.mark.value
  if (!mark) return say(t('review.select'))
  if (mark.region) {
    if (verdict === 'reject') return removeMark()
    return moveOn(mark.end + 1)
  }
  const proposal = mark.proposal!
  const next = edit[verdict](review.draft.value, proposal)
  const asked = ids()
  const last = asked.has(proposal.id)
    && edit.undecided(next, review.asked.value).length === 0
  if (last && movesOn.value && complete(next, verdict)) return
  review.commit(next, verdict)
  if (!last) moveOn(mark.start)
  else review.select(mark.id, false)
}

/** Save as done and go to the next item. False where there is no answer to save yet. */
function complete(draft: typeof review.draft.value, decision: string): boolean {
  // A series of which every proposal was rejected has, by that, no anomaly.
  const none = draft.intervals.length === 0 && review.asked.value.length > 0
  const final = none ? { ...draft, none: true } : draft
  if (edit.resultOf(final) === null) return false
  if (edit.clashes(final).length > 0) {
    say(t('review.overlap'), 'bad')
    return false
  }
  review.commit(final, decision, 'done')
  void nextItem()
  return true
}

function done(): void {
  const left = edit.undecided(review.draft.value, review.asked.value)
  const draft = edit.judgeAll(review.draft.value, left, 'rejected')
  const decided = review.draft.value.none || draft.intervals.length > 0
  // Enter alone is no "no anomaly": with nothing said and nothing accepted it asks for a word.
  if (!decided && left.length === review.asked.value.length) return say(t('review.say'))
  if (!complete(draft, 'done') && edit.resultOf(draft) === null) say(t('review.say'))
}

function none(): void {
  const draft = edit.answerNone(review.draft.value, review.asked.value)
  if (movesOn.value) {
    review.commit(draft, 'none', 'done')
    void nextItem()
  } else review.commit(draft, 'none')
}

function park(as: ItemState, decision: string): void {
  review.commit(review.draft.value, decision, as)
  void nextItem()
}

export async function nextItem(): Promise<void> {
  const current = review.item.value?.id
  if (current === undefined) return
  try {
    const next = await queue.following(current)
    if (next !== null) return go(`item/${next}`)
    say(t('review.last'), 'info', { text: t('queue.to_finish'), run: () => go('iteration') })
  } catch (error) {
    complain(error)
  }
}

function previousItem(): void {
  const previous = review.previousVisited()
  if (previous === null) return say(t('review.first'))
  go(`item/${previous}`)
}

function undoRedo(back: boolean): void {
  const before = review.history.value
  const after = back ? undo(before) : redo(before)
  if (after === before) return
  review.history.value = after
  review.send(back ? 'undo' : 'redo')
}

function removeMark(): void {
  const mark = review.mark.value
  if (!mark) return say(t('review.select'))
  if (!mark.region) return judge('reject')
  review.commit(edit.remove(review.draft.value, mark.id), 'delete')
  review.select(step(review.marks.value.filter((one) => one.start >= mark.start), null, 1)?.id ?? null, false)
}

export function relabel(label: string): void {
  review.drawLabel.value = label
  if (review.edge.value) return edges.setLabel(label)
  const mark = review.mark.value
  if (!mark) return
  if (mark.region) return review.commit(edit.change(review.draft.value, mark.id, { label }), 'relabel')
  const proposal = mark.proposal!
  review.commit(edit.acceptEdited(review.draft.value, proposal, { label }), 'relabel')
  const made = review.draft.value.intervals.find((one) => one.proposal === proposal.id)
  review.select(made?.id ?? null, false)
}

function splitMark(): void {
  const mark = review.mark.value
  const row = review.cursorRow.value
  if (!mark?.region) return say(t('review.select'))
  const next = row === null ? review.draft.value : edit.splitAt(review.draft.value, mark.id, row)
  if (next === review.draft.value) return say(t('review.no_split'))
  review.commit(next, 'split')
}

function mergeMark(): void {
  const mark = review.mark.value
  if (!mark?.region) return say(t('review.select'))
  const next = edit.mergeNext(review.draft.value, mark.id)
  if (next === review.draft.value) return say(t('review.no_merge'))
  review.commit(next, 'merge')
}

function moveCursor(by: number): void {
  const { row, t: times } = data.samples.value
  const middle = nearestIndex(times, (data.view.value.min + data.view.value.max) / 2)
  const from = review.cursorRow.value === null ? middle : nearestIndex(row, review.cursorRow.value)
  const index = Math.min(Math.max(from + by, 0), row.length - 1)
  review.cursorRow.value = row[index] ?? null
  const time = times[index]
  const { min, max } = data.view.value
  if (time !== undefined && (time < min || time > max)) data.setView(pan(data.view.value, time < min ? -0.5 : 0.5))
}

function zoomBy(factor: number): void {
  const mark = review.edge.value?.span ?? review.mark.value
  const { min, max } = data.view.value
  const row = review.cursorRow.value
  const wish = row !== null ? data.timeOf(row) : mark ? data.timeOf((mark.start + mark.end) / 2) : NaN
  data.setView(zoom(data.view.value, factor, wish >= min && wish <= max ? wish : (min + max) / 2))
}

async function judgeWork(verdict: 'approved' | 'returned', comment = ''): Promise<void> {
  const item = review.item.value
  if (!item || session.value?.user?.role === 'annotator') return
  if (status.unsent > 0) return say(t('iteration.unsent'))
  try {
    await calls.approve(item.id, { revision: review.revision.value, verdict, comment }, newKey())
    say(t(verdict === 'approved' ? 'queue.approved' : 'state.needs_fix'))
    await nextItem()
  } catch (error) {
    complain(error)
  }
}
export const giveBack = (comment: string): Promise<void> => judgeWork('returned', comment)

const toggle = (key: keyof typeof review.show) => (): void => { review.show[key] = !review.show[key] }
const move = (by: 1 | -1) => (): void => review.select(step(review.marks.value, review.selected.value, by)?.id ?? null)
const ask = (name: NonNullable<typeof dialog.value>) => (): void => { dialog.value = name }

const ACTIONS: Record<string, (chord: string) => void> = {
  accept: () => judge('accept'),
  reject: () => judge('reject'),
  none, done,
  batch: ask('batch'),
  unsure: () => review.commit({ ...review.draft.value, unsure: !review.draft.value.unsure }, 'unsure'),
  needsFix: () => park('needs_fix', 'needs_fix'),
  skip: () => park('skipped', 'skip'),
  approve: () => void judgeWork('approved'),
  undo: () => undoRedo(true),
  redo: () => undoRedo(false),
  nextMark: move(1),
  previousMark: move(-1),
  nextItem: () => void nextItem(),
  previousItem,
  cursorLeft: () => moveCursor(-1),
  cursorRight: () => moveCursor(1),
  cursorLeft10: () => moveCursor(-10),
  cursorRight10: () => moveCursor(10),
  queue: () => go('queue'),
  edit: () => { if (!edges.beginEdit()) say(t('review.select')) },
  draw: () => edges.beginDraw(),
  remove: removeMark,
  split: splitMark,
  merge: mergeMark,
  label: (chord) => {
    const label = labelSet.value.labels[Number(chord) - 1]
    if (label) relabel(label.id)
  },
  palette: ask('palette'),
  comment: ask('comment'),
  similar: () => { if (review.mark.value) dialog.value = 'similar'; else say(t('review.select')) },
  overall: ask('overall'),
  zoomIn: () => zoomBy(0.5),
  zoomOut: () => zoomBy(2),
  panLeft: () => data.setView(pan(data.view.value, -0.25)),
  panRight: () => data.setView(pan(data.view.value, 0.25)),
  fit: () => {
    const span = review.edge.value?.span ?? review.mark.value
    if (span) data.fit(span)
    else data.fitAll()
  },
  fitAll: () => data.fitAll(),
  days: toggle('days'),
  sisters: toggle('sisters'),
  scores: toggle('scores'),
  models: toggle('models'),
  difference: toggle('difference'),
  blind: toggle('hidden'),
  history: ask('history'),
  help: ask('help'),
  edgeLeft: () => edges.moveBy(-1),
  edgeRight: () => edges.moveBy(1),
  edgeLeft10: () => edges.moveBy(-10),
  edgeRight10: () => edges.moveBy(10),
  edgeLeft100: () => edges.moveBy(-100),
  edgeRight100: () => edges.moveBy(100),
  edgeSwitch: edges.switchEdge,
  edgeCommit: edges.keep,
  edgeCancel: edges.cancel,
}

export function run(action: string, chord = ''): void {
  ACTIONS[action]?.(chord)
}
export function perform(found: Found): void {
  run(found.action, found.chord)
}

/** While one item is read the next one is on its way. */
watch(review.item, (item, before) => {
  if (item && item.id !== before?.id) setTimeout(() => queue.lookAhead(item.id), 150)
})
