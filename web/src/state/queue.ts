/** The queue as pages of rows; ten thousand of them are no problem because few are looked at. */

import { reactive, ref, shallowRef } from 'vue'
import * as calls from '../api/calls'
import { query, request } from '../api/client'
import type { Counts, QueueItem } from '../api/types'
import { complain, session } from './app'
import * as data from './data'

const PAGE = 200
/** What a reviewer has still to do; an item left half done comes back. */
const OPEN = ['pending', 'needs_fix', 'in_review'] as const

export const filters = reactive({ state: '', reason: '', assignee: '', q: '' })
export const rows = shallowRef<(QueueItem | undefined)[]>([])
export const counts = ref<Counts>({ total: 0, pending: 0, in_review: 0, done: 0, needs_fix: 0, skipped: 0 })
export const reasons = ref<Record<string, number>>({})
export const loading = ref(false)
export const place = ref(0)
const asked = new Set<number>()
let generation = 0

export const iteration = (): string | null => session.value?.iteration ?? null

/** Begin anew: another filter, or a return from an item. */
export async function refresh(): Promise<void> {
  generation += 1
  asked.clear()
  await page(0, true)
}

async function page(number: number, fresh = false): Promise<void> {
  if (!iteration() || asked.has(number)) return
  asked.add(number)
  const mine = generation
  loading.value = true
  try {
    const answer = await calls.getQueue({
      iteration: iteration(), state: filters.state ? [filters.state] : [],
      reason: filters.reason ? [filters.reason] : [], assignee: filters.assignee,
      q: filters.q, offset: number * PAGE, limit: PAGE,
    })
    if (mine !== generation) return
    const same = !fresh || rows.value.length === answer.total // old rows stay until new ones come
    const next = same ? rows.value.slice() : new Array<QueueItem | undefined>(answer.total)
    answer.items.forEach((one, i) => { next[number * PAGE + i] = one })
    rows.value = next
    counts.value = answer.counts
    reasons.value = answer.reasons
    if (place.value >= answer.total) place.value = Math.max(0, answer.total - 1)
  } catch (error) {
    asked.delete(number)
    complain(error)
  } finally {
    loading.value = false
  }
}

/** See to it that the rows on the screen are there. */
export function need(first: number, last: number): void {
  for (let n = Math.floor(first / PAGE); n <= Math.floor(last / PAGE); n++) {
    if (n * PAGE < rows.value.length) void page(n)
  }
}

export async function nextOpen(after: number | null): Promise<QueueItem | null> {
  const wanted = query({ iteration: iteration(), after, state: OPEN })
  return request<QueueItem | null>('GET', `/api/queue/next${wanted}`)
}

let upcoming: { after: number; id: Promise<number | null> } | null = null

/** Ask early what comes after an item, and fetch it. */
export function lookAhead(current: number): void {
  const id = nextOpen(current).then((found) => {
    if (found && found.id !== current) data.prefetch(found.id)
    return found && found.id !== current ? found.id : null
  }).catch(() => null)
  upcoming = { after: current, id }
}

export async function following(current: number): Promise<number | null> {
  const early = upcoming?.after === current ? await upcoming.id : null
  if (early !== null) return early
  const found = await nextOpen(current)
  return found && found.id !== current ? found.id : null
}
