/**
 * Saves that wait for their answer. They survive a reload and a dead server, are sent one by one
 * for each item, and always with the same idempotency key, so a retry never counts twice.
 */

export interface Entry<B = unknown> {
  readonly key: string
  readonly item: number
  /** The revision this save started from; null: the one that the entry before it makes. */
  readonly base: number | null
  readonly body: B
  readonly at: number
}

export interface Storage<B> {
  load(): Promise<Entry<B>[]>
  put(entry: Entry<B>): Promise<void>
  remove(key: string): Promise<void>
}

export type Answer =
  | { readonly kind: 'saved'; readonly revision: number; readonly data?: unknown }
  | { readonly kind: 'conflict'; readonly data: unknown }
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'unreachable'; readonly message: string }

export interface Trouble<B> {
  readonly kind: 'conflict' | 'refused'
  readonly entry: Entry<B>
  readonly data: unknown
  readonly message: string
}

export interface Hooks<B> {
  send(entry: Entry<B>, revision: number): Promise<Answer>
  saved?(entry: Entry<B>, revision: number, data: unknown): void
  trouble?(trouble: Trouble<B>): void
  changed?(): void
}

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 30_000

export class Outbox<B> {
  private entries: Entry<B>[] = []
  private readonly troubles = new Map<number, Trouble<B>>()
  private readonly revisions = new Map<number, number>()
  private running = false
  private pause = FIRST_PAUSE_MS
  private timer: ReturnType<typeof setTimeout> | null = null
  offline = false

  constructor(private readonly storage: Storage<B>, private readonly hooks: Hooks<B>) {}

  /** Take up what an earlier page left. */
  async restore(): Promise<void> {
    const known = new Set(this.entries.map((entry) => entry.key))
    const stored = (await this.storage.load()).filter((entry) => !known.has(entry.key))
    this.entries = [...stored, ...this.entries].sort((a, b) => a.at - b.at)
    this.changed()
    void this.flush()
  }

  get size(): number {
    return this.entries.length
  }

  pending(item: number): Entry<B>[] {
    return this.entries.filter((entry) => entry.item === item)
  }

  trouble(item: number): Trouble<B> | null {
    return this.troubles.get(item) ?? null
  }

  get inTrouble(): Trouble<B>[] {
    return [...this.troubles.values()]
  }

  /** Queue a save; `revision` is the one on screen when nothing of the item is waiting. */
  async add(item: number, revision: number, body: B, key: string, at = Date.now()): Promise<void> {
    const follows = this.pending(item).length > 0
    const last = this.entries.at(-1)?.at ?? 0
    // The page may not have heard yet of the answer that this outbox has just had.
    const known = Math.max(revision, this.revisions.get(item) ?? 0)
    const entry = { key, item, base: follows ? null : known, body, at: Math.max(at, last + 1) }
    this.entries.push(entry)
    this.changed()
    await this.storage.put(entry).catch(() => undefined) // memory still holds it; leaving warns
    void this.flush()
  }

  /** Replace everything that waits for an item by one save from a known revision, or by nothing. */
  async resolve(item: number, revision: number, body: B | null, key: string): Promise<void> {
    // In memory at once, so that a decision made meanwhile finds the new order.
    const old = this.pending(item)
    this.entries = this.entries.filter((entry) => entry.item !== item)
    this.troubles.delete(item)
    this.revisions.delete(item)
    this.changed()
    if (body !== null) await this.add(item, revision, body, key)
    for (const entry of old) await this.drop(entry)
  }

  retryNow(): void {
    if (this.timer) clearTimeout(this.timer)
    this.timer = null
    this.pause = FIRST_PAUSE_MS
    void this.flush()
  }

  /** Send what can be sent. Entries of an item in trouble wait for a person. */
  async flush(): Promise<void> {
    if (this.running || this.timer) return
    this.running = true
    try {
      for (let entry = this.next(); entry; entry = this.next()) {
        if (!(await this.sendOne(entry))) break
      }
    } finally {
      this.running = false
    }
  }

  private next(): Entry<B> | undefined {
    return this.entries.find((entry) => !this.troubles.has(entry.item))
  }

  /** False where the server could not be reached: then the order must wait, too. */
  private async sendOne(entry: Entry<B>): Promise<boolean> {
    const revision = entry.base ?? this.revisions.get(entry.item) ?? 0
    const answer = await this.hooks.send(entry, revision).catch((error: unknown): Answer => (
      { kind: 'unreachable', message: String(error) }))
    if (answer.kind === 'unreachable') {
      this.later()
      return false
    }
    this.offline = false
    this.pause = FIRST_PAUSE_MS
    if (!this.entries.includes(entry)) return true // resolved by a person meanwhile
    if (answer.kind === 'saved') await this.done(entry, answer.revision, answer.data)
    else this.stop(entry, answer)
    this.changed()
    return true
  }

  private async done(entry: Entry<B>, revision: number, data: unknown): Promise<void> {
    this.revisions.set(entry.item, revision)
    await this.drop(entry)
    const following = this.entries.findIndex((one) => one.item === entry.item)
    const follower = this.entries[following]
    if (follower) {
      // Stored with its revision, so that a reload at this moment does not lose the thread.
      const based = { ...follower, base: revision }
      this.entries[following] = based
      await this.storage.put(based).catch(() => undefined)
    }
    this.hooks.saved?.(entry, revision, data)
  }

  private stop(entry: Entry<B>, answer: Answer & { kind: 'conflict' | 'refused' }): void {
    const trouble: Trouble<B> = {
      kind: answer.kind, entry,
      data: answer.kind === 'conflict' ? answer.data : null,
      message: answer.kind === 'refused' ? answer.message : '',
    }
    this.troubles.set(entry.item, trouble)
    this.hooks.trouble?.(trouble)
  }

  private async drop(entry: Entry<B>): Promise<void> {
    this.entries = this.entries.filter((one) => one.key !== entry.key)
    await this.storage.remove(entry.key).catch(() => undefined)
  }

  private later(): void {
    this.offline = true
    this.changed()
    this.timer = setTimeout(() => {
      this.timer = null
      void this.flush()
    }, this.pause)
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS)
  }

  private changed(): void {
    this.hooks.changed?.()
  }
}
