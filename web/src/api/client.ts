/** One place that talks to the server: CSRF header, error values, nothing else. */

import type { Session } from './types'

export class ApiError extends Error {
  constructor(
    readonly status: number, readonly code: string, message: string,
    readonly hint: string, readonly body: unknown,
  ) {
    super(message)
  }

  get text(): string {
    return this.hint ? `${this.message} ${this.hint}` : this.message
  }
}

/** The server did not answer at all. */
export class Unreachable extends Error {}

export interface Options {
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
  binary?: boolean
}

let csrf = ''

export function useSession(session: Session): Session {
  csrf = session.csrf
  return session
}

async function raw(method: string, path: string, options: Options): Promise<Response> {
  const headers: Record<string, string> = { ...options.headers }
  if (options.body !== undefined) headers['Content-Type'] = 'application/json'
  if (method !== 'GET') headers['X-Tsloop-Csrf'] = csrf
  if (options.binary) headers['Accept'] = 'application/octet-stream'
  try {
    return await fetch(path, {
      method, headers, credentials: 'same-origin',
      ...(options.body !== undefined ? { body: JSON.stringify(options.body) } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new Unreachable(String(error))
  }
}

async function errorOf(response: Response): Promise<ApiError> {
  const body: unknown = await response.json().catch(() => null)
  const error = (body as { error?: Record<string, unknown> } | null)?.error ?? {}
  const text = (key: string): string => (typeof error[key] === 'string' ? error[key] : '')
  return new ApiError(
    response.status, text('code'), text('message') || `HTTP ${response.status}`, text('hint'), body)
}

async function checked(method: string, path: string, options: Options): Promise<Response> {
  const response = await raw(method, path, options)
  if (response.ok) return response
  const error = await errorOf(response)
  if (error.code !== 'csrf') throw error
  useSession(await request<Session>('GET', '/api/session')) // the server has a new secret
  const again = await raw(method, path, options)
  if (!again.ok) throw await errorOf(again)
  return again
}

export async function request<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await checked(method, path, options)
  return response.status === 204 ? (null as T) : await response.json() as T
}

export async function bytes(path: string, signal?: AbortSignal): Promise<ArrayBuffer> {
  const response = await checked('GET', path, { binary: true, ...(signal ? { signal } : {}) })
  return response.arrayBuffer()
}

/** `?a=1&a=2`: lists repeat their key, what is null or empty is left out. */
export function query(values: Record<string, string | number | boolean | null | undefined | readonly string[]>): string {
  const search = new URLSearchParams()
  for (const [key, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value as readonly string[] : [value]) {
      if (one !== null && one !== undefined && one !== '') search.append(key, String(one))
    }
  }
  const text = search.toString()
  return text ? `?${text}` : ''
}
