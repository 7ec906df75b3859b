/** The one outbox of this page, and what the top bar shows of it. */

import { reactive, ref, shallowRef } from 'vue'
import * as calls from '../api/calls'
import { ApiError, Unreachable } from '../api/client'
import type { Conflict, QueueItem, SaveBody, Saved } from '../api/types'
import { Outbox, type Answer, type Entry, type Trouble } from '../core/outbox'
import { openStorage } from '../core/storage'
import { say, session, t } from './app'

export const status = reactive({ unsent: 0, offline: false })
export const troubles = shallowRef<Trouble<SaveBody>[]>([])
/** Raised with every answered save: whoever shows an item takes its new revision from here. */
export const lastSaved = shallowRef<{ item: QueueItem; revision: number } | null>(null)
export const ready = ref(false)
let outbox: Outbox<SaveBody> | null = null

async function send(entry: Entry<SaveBody>, revision: number): Promise<Answer> {
  try {
    const saved = await calls.putDecision(entry.item, revision, entry.key, entry.body)
    return { kind: 'saved', revision: saved.revision, data: saved }
  } catch (error) {
    if (error instanceof Unreachable) return { kind: 'unreachable', message: error.message }
    if (!(error instanceof ApiError)) throw error
    if (error.status === 409 && (error.body as Partial<Conflict> | null)?.theirs) {
      return { kind: 'conflict', data: error.body }
    }
    if (error.status === 401) {
      if (session.value) session.value = { ...session.value, user: null }
      return { kind: 'unreachable', message: error.message }
    }
    const passing = error.status >= 500 || error.status === 429
    return { kind: passing ? 'unreachable' : 'refused', message: error.text }
  }
}

function refresh(): void {
  if (!outbox) return
  status.unsent = outbox.size
  status.offline = outbox.offline
  troubles.value = outbox.inTrouble
}

/** One queue for each user and browser: nobody's unsent work is sent under another name. */
export async function openOutbox(user: string): Promise<void> {
  const storage = await openStorage<SaveBody>(`tsloop-review-${user}`)
  outbox = new Outbox<SaveBody>(storage, {
    send,
    saved: (_entry, revision, data) => {
      lastSaved.value = { item: (data as Saved).item, revision }
    },
    trouble: (trouble) => {
      if (trouble.kind === 'refused') say(t('save.refused', { message: trouble.message }), 'bad')
    },
    changed: refresh,
  })
  await outbox.restore()
  ready.value = true
}

export function save(item: number, revision: number, body: SaveBody): void {
  void outbox?.add(item, revision, body, crypto.randomUUID?.() ?? fallbackUuid())
}

/** Pages on plain http off-loopback have no `randomUUID`. */
function fallbackUuid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}
export const newKey = (): string => crypto.randomUUID?.() ?? fallbackUuid()

/** The newest unsent answer for an item, if any: what its reviewer has last seen. */
export function unsent(item: number): SaveBody | null {
  return outbox?.pending(item).at(-1)?.body ?? null
}
export function troubleOf(item: number): Trouble<SaveBody> | null {
  return outbox?.trouble(item) ?? null
}
export async function resolve(item: number, revision: number, body: SaveBody | null): Promise<void> {
  await outbox?.resolve(item, revision, body, newKey())
}
export function retryNow(): void { outbox?.retryNow() }

addEventListener('online', retryNow)
addEventListener('beforeunload', (event) => {
  if (status.unsent > 0) event.preventDefault()
})
