import 'fake-indexeddb/auto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Outbox, type Answer, type Entry, type Hooks } from '../src/core/outbox'
import { IndexedStorage, MemoryStorage, openStorage } from '../src/core/storage'

const settle = async (): Promise<void> => { for (let i = 0; i < 40; i++) await Promise.resolve() }

/** A server that stores revisions, remembers keys, and can be away. */
class Server {
  revision = 0
  up = true
  loseAnswer = false
  readonly keys = new Map<string, number>()
  readonly log: { key: string; revision: number; body: string }[] = []
  send = (entry: Entry<string>, revision: number): Promise<Answer> => {
    if (!this.up) return Promise.reject(new Error('away'))
    this.log.push({ key: entry.key, revision, body: entry.body })
    const before = this.keys.get(entry.key)
    if (before === undefined) {
      if (revision !== this.revision) return Promise.resolve({ kind: 'conflict', data: { theirs: this.revision } })
      this.revision += 1
      this.keys.set(entry.key, this.revision)
    }
    if (this.loseAnswer) {
      this.loseAnswer = false
      return Promise.reject(new Error('cut off'))
    }
    return Promise.resolve({ kind: 'saved', revision: this.keys.get(entry.key)! })
  }
}

describe('outbox', () => {
  let server: Server
  let storage: MemoryStorage<string>
  const make = (hooks: Partial<Hooks<string>> = {}): Outbox<string> =>
    new Outbox<string>(storage, { send: server.send, ...hooks })
  beforeEach(() => {
    vi.useFakeTimers()
    server = new Server()
    storage = new MemoryStorage()
  })
  afterEach(() => { vi.useRealTimers() })

  it('chains saves of one item: each starts from the revision the last one made', async () => {
    const outbox = make()
    await outbox.add(1, 0, 'a', 'k1')
    await outbox.add(1, 0, 'b', 'k2')
    await outbox.add(1, 0, 'c', 'k3')
    await settle()
    expect(server.log.map((one) => one.revision)).toEqual([0, 1, 2])
    expect(outbox.size).toBe(0)
    expect(await storage.load()).toEqual([])
  })

  it('does not conflict with itself when a key falls between an answer and its news', async () => {
    const slow = new MemoryStorage<string>()
    let release = (): void => undefined
    slow.remove = () => new Promise((resolve) => { release = resolve })
    const outbox = new Outbox<string>(slow, { send: server.send })
    await outbox.add(1, 0, 'a', 'k1')
    await settle()
    await outbox.add(1, 0, 'b', 'k2') // the page still believes in revision 0
    release()
    await settle()
    expect(server.log.map((one) => one.revision)).toEqual([0, 1])
    expect(outbox.inTrouble).toEqual([])
  })

  it('waits while the server is away, and sends in order with the same keys', async () => {
    server.up = false
    const outbox = make()
    await outbox.add(1, 0, 'a', 'k1')
    await outbox.add(1, 0, 'b', 'k2')
    await settle()
    expect(outbox.offline).toBe(true)
    expect(outbox.size).toBe(2)
    server.up = true
    await vi.advanceTimersByTimeAsync(1_000)
    expect(server.log.map((one) => one.key)).toEqual(['k1', 'k2'])
    expect(outbox.offline).toBe(false)
  })

  it('counts a save once whose answer was lost', async () => {
    server.loseAnswer = true
    const outbox = make()
    await outbox.add(1, 0, 'a', 'k1')
    await settle()
    expect(outbox.size).toBe(1)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(server.revision).toBe(1)
    expect(outbox.size).toBe(0)
  })

  it('goes on after a reload where the page stopped', async () => {
    server.up = false
    const first = make()
    await first.add(1, 0, 'a', 'k1')
    await first.add(1, 0, 'b', 'k2')
    server.up = true
    const second = make()
    await second.restore()
    await settle()
    expect(server.log.map((one) => [one.key, one.revision])).toEqual([['k1', 0], ['k2', 1]])
  })

  it('stops an item at a conflict, keeps its later saves, and lets others pass', async () => {
    server.revision = 3
    const troubles: unknown[] = []
    const outbox = make({ trouble: (one) => troubles.push(one.data) })
    await outbox.add(1, 2, 'mine', 'k1')
    await outbox.add(1, 2, 'mine too', 'k2')
    await settle()
    expect(troubles).toEqual([{ theirs: 3 }])
    expect(outbox.pending(1)).toHaveLength(2)
    await outbox.add(2, 3, 'other item', 'k3')
    await settle()
    expect(outbox.size).toBe(2)
    await outbox.resolve(1, server.revision, 'merged', 'k4')
    await settle()
    expect(server.log.at(-1)).toEqual({ key: 'k4', revision: 4, body: 'merged' })
    expect(outbox.trouble(1)).toBeNull()
    expect(outbox.size).toBe(0)
  })

  it('keeps what was refused until a person has seen it', async () => {
    const outbox = new Outbox<string>(storage, { send: () => Promise.resolve({ kind: 'refused', message: 'no such label' }) })
    await outbox.add(1, 0, 'a', 'k1')
    await settle()
    expect(outbox.trouble(1)?.message).toBe('no such label')
    expect(await storage.load()).toHaveLength(1)
    await outbox.resolve(1, 0, null, 'unused')
    expect(await storage.load()).toEqual([])
  })
})

describe('storage', () => {
  it('keeps entries over a reopening', async () => {
    const entry = { key: 'k', item: 1, base: 0, body: { text: '异常' }, at: 5 }
    const storage = await IndexedStorage.open<{ text: string }>('one')
    await storage.put(entry)
    expect(await (await IndexedStorage.open('one')).load()).toEqual([entry])
    await storage.remove('k')
    expect(await storage.load()).toEqual([])
  })
  it('falls back to memory where there is no database', async () => {
    const real = globalThis.indexedDB
    Reflect.set(globalThis, 'indexedDB', { open: () => { throw new Error('denied') } })
    try {
      expect(await openStorage('x')).toBeInstanceOf(MemoryStorage)
    } finally {
      Reflect.set(globalThis, 'indexedDB', real)
    }
  })
})
