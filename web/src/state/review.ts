/** The series on the screen: its item, its draft with history, selection, view and cursor. */

import { computed, reactive, ref, shallowRef, watch } from 'vue'
import * as calls from '../api/calls'
import { toContent, toDraft } from '../api/convert'
import type { Item, SaveBody } from '../api/types'
import { resultOf, sameAnswer, undecided } from '../core/edit'
import { Effort } from '../core/effort'
import { begin, push, type History } from '../core/history'
import type { Edge, Span } from '../core/intervals'
import { marksOf, nextUndecided, type Mark } from '../core/marks'
import { EMPTY_DRAFT, type Draft, type ItemState, type Proposal } from '../core/types'
import { complain, labelSet, session } from './app'
import * as data from './data'
import { lastSaved, save, unsent } from './saver'

export interface EdgeEdit {
  /** A region that is being changed, or a proposal that is being taken over. */
  readonly id: string
  readonly edge: Edge
  readonly span: Span
  readonly label: string
  readonly fresh: boolean
}

export const item = shallowRef<Item | null>(null)
export const revision = ref(0)
export const state = ref<ItemState>('pending')
export const history = shallowRef<History<Draft>>(begin(EMPTY_DRAFT))
export const draft = computed(() => history.value.present)
export const selected = ref<string | null>(null)
export const edge = shallowRef<EdgeEdit | null>(null)
export const cursorRow = ref<number | null>(null)
export const drawLabel = ref('')
export const show = reactive({
  days: false, sisters: false, scores: true, models: false, difference: false, hidden: false,
})
export const effort = new Effort()
const visited: number[] = []
/** Steps of the items left a moment ago: going back to one, its last decision can be undone. */
const remembered = new Map<number, History<Draft>>()
const REMEMBERED = 50
let heartbeat: ReturnType<typeof setInterval> | null = null

export const blind = computed(() => item.value?.blind ?? false)
const primary = computed(() => item.value?.models.find((one) => one.primary)?.model ?? null)
/** What has to be judged: the proposals of the model that the queue used. */
export const asked = computed<Proposal[]>(() => {
  const all = item.value?.proposals ?? []
  return primary.value === null ? all : all.filter((one) => one.model === primary.value)
})
export const visibleProposals = computed<Proposal[]>(() => {
  if (show.hidden || blind.value) return []
  return show.models ? item.value?.proposals ?? [] : asked.value
})
export const open = computed(() => undecided(draft.value, asked.value))
export const marks = computed<Mark[]>(() => marksOf(draft.value, visibleProposals.value))
export const mark = computed(() => marks.value.find((one) => one.id === selected.value) ?? null)
/** Models in the order of their lanes; the first one is the queue's. */
export const lanes = computed(() => {
  if (show.hidden || blind.value) return []
  const names = (item.value?.models ?? []).map((one) => one.model)
  const main = primary.value ?? names[0] ?? item.value?.proposals[0]?.model
  if (names.length === 0 && main !== undefined) return [main] // today's labels, to be looked at again
  return show.models ? names : names.filter((name) => name === main)
})

/** A proposal that was accepted stays selected, as the interval that it became. */
watch(marks, (list) => {
  if (list.some((one) => one.id === selected.value)) return
  const heir = list.find((one) => one.region?.proposal === selected.value && selected.value !== null)
  if (heir) selected.value = heir.id
}, { flush: 'sync' })

watch(lastSaved, (saved) => {
  if (!saved || saved.item.id !== item.value?.id) return
  revision.value = saved.revision
  // Merged, because the queue's row knows less than the item; a new object tells whoever watches.
  item.value = { ...item.value, approval: approvalAfter(saved.item.approval) }
})

function approvalAfter(said: 'none' | 'approved' | 'stale'): Item['approval'] {
  return said === 'none' ? null : item.value?.approval ?? null
}

async function claim(id: number): Promise<void> {
  const seconds = session.value?.settings.heartbeat_s ?? 40
  const beat = (): Promise<unknown> => calls.lock(id).catch(() => undefined)
  if (heartbeat) clearInterval(heartbeat)
  heartbeat = setInterval(() => void beat(), seconds * 1000)
  await beat()
}

/** Take the item off the screen; `keep`: its steps can still be undone when it comes back. */
export function leave(keep = true): void {
  if (heartbeat) clearInterval(heartbeat)
  heartbeat = null
  if (item.value) {
    if (keep) remember(item.value.id)
    else remembered.delete(item.value.id)
    void calls.unlock(item.value.id).catch(() => undefined)
  }
  item.value = null
  edge.value = null
}

function remember(id: number): void {
  remembered.delete(id)
  remembered.set(id, history.value)
  for (const old of [...remembered.keys()].slice(0, -REMEMBERED)) remembered.delete(old)
}

/** Show an item; what it needs may have been fetched while its predecessor was on the screen. */
export async function load(id: number): Promise<void> {
  if (item.value?.id === id) return
  try {
    const loaded = await data.fetched(id)
    leave()
    enter(loaded.item)
    data.show(loaded)
    frameFirst()
    effort.start()
    if (visited.at(-1) !== id) visited.push(id)
    void claim(id)
  } catch (error) {
    complain(error)
  }
}

function enter(next: Item): void {
  const waiting = unsent(next.id)?.content ?? next.content
  item.value = next
  revision.value = next.revision
  state.value = waiting.state
  const said = toDraft(waiting)
  const before = remembered.get(next.id)
  history.value = before && sameAnswer(before.present, said) ? before : begin(said)
  selected.value = null
  cursorRow.value = null
  drawLabel.value ||= labelSet.value.labels[0]?.id ?? 'anomaly'
}

/** Begin at the first thing to judge; near enough to see it, else with the whole series. */
function frameFirst(): void {
  const first = nextUndecided(marks.value, 0, new Set(open.value.map((one) => one.id)))
    ?? marks.value[0] ?? null
  data.fitAll()
  select(first?.id ?? null)
}

export function select(id: string | null, reveal = true): void {
  selected.value = id
  const chosen = mark.value
  if (chosen && reveal) data.reveal(chosen)
}

export function previousVisited(): number | null {
  if (visited.at(-1) === item.value?.id) visited.pop()
  return visited.at(-1) ?? null
}

/** The state that an unfinished or corrected answer is saved with. */
function stateFor(next: Draft): ItemState {
  const answered = resultOf(next) !== null && undecided(next, asked.value).length === 0
  return state.value === 'done' && answered ? 'done' : 'in_review'
}

/** One decision: a step of undo, and a save of its own. */
export function commit(next: Draft, decision: string, as?: ItemState): void {
  const current = item.value
  if (!current || (next === draft.value && as === undefined)) return
  history.value = push(history.value, next)
  send(decision, as)
}

/** Save what is on the screen now. */
export function send(decision: string, as?: ItemState): void {
  const current = item.value
  if (!current) return
  state.value = as ?? stateFor(draft.value)
  const body: SaveBody = {
    content: toContent(draft.value, state.value), ...effort.take(), decision,
  }
  save(current.id, revision.value, body)
}

/** After a conflict was settled: what was saved is what stands here now. */
export function adopt(next: Draft, as: ItemState, known: number): void {
  history.value = push(history.value, next)
  state.value = as
  revision.value = known
}
