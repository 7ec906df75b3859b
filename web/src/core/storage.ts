/** Where unsent saves wait: IndexedDB, or memory where a browser has none (private windows). */

import type { Entry, Storage } from './outbox'

const STORE = 'outbox'

export class MemoryStorage<B> implements Storage<B> {
  private readonly entries = new Map<string, Entry<B>>()
  load(): Promise<Entry<B>[]> { return Promise.resolve([...this.entries.values()]) }
  put(entry: Entry<B>): Promise<void> {
    this.entries.set(entry.key, entry)
    return Promise.resolve()
  }
  remove(key: string): Promise<void> {
    this.entries.delete(key)
    return Promise.resolve()
  }
}

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('IndexedDB failed'))
  })
}

export class IndexedStorage<B> implements Storage<B> {
  private constructor(private readonly database: IDBDatabase) {}

  static async open<B>(name: string, factory: IDBFactory = indexedDB): Promise<IndexedStorage<B>> {
    const request = factory.open(name, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: 'key' })
    return new IndexedStorage<B>(await answered(request))
  }

  private store(mode: IDBTransactionMode): IDBObjectStore {
    return this.database.transaction(STORE, mode).objectStore(STORE)
  }

  async load(): Promise<Entry<B>[]> {
    return await answered(this.store('readonly').getAll()) as Entry<B>[]
  }

  /** Plain values only: what Vue wraps in a proxy cannot be cloned. */
  async put(entry: Entry<B>): Promise<void> {
    await answered(this.store('readwrite').put(JSON.parse(JSON.stringify(entry))))
  }

  async remove(key: string): Promise<void> {
    await answered(this.store('readwrite').delete(key))
  }
}

export async function openStorage<B>(name: string): Promise<Storage<B>> {
  try {
    return await IndexedStorage.open<B>(name)
  } catch {
    return new MemoryStorage<B>()
  }
}
