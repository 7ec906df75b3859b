/** Every route that the page uses, by name. */

import { bytes, query, request, useSession } from './client'
import { decodeWindow } from './convert'
import type * as api from './types'

const at = encodeURIComponent

export const getSession = async () => useSession(await request<api.Session>('GET', '/api/session'))
export const login = async (body: { name: string } | { token: string }) =>
  useSession(await request<api.Session>('POST', '/api/session', { body }))
export const logout = () => request<null>('DELETE', '/api/session')
export const getLabels = () => request<api.LabelSet>('GET', '/api/labels')

export const getIterations = () =>
  request<{ open: string | null; iterations: api.Iteration[] }>('GET', '/api/iterations')
export const finish = (name: string, body: { repro: boolean; allow_open: boolean }, key: string) =>
  request<api.Finished>('POST', `/api/iterations/${at(name)}/finish`,
    { body, headers: { 'Idempotency-Key': key } })
export const createIteration = () => request<api.Iteration>('POST', '/api/iterations')
/** An item for any series of the pool: a late correction goes into the open iteration. */
export const correct = (series: string) =>
  request<{ id: number }>('POST', '/api/items', { body: { series } })
export const repro = (name: string) =>
  request<{ job: string }>('POST', `/api/iterations/${at(name)}/repro`, { body: {} })

export interface QueueQuery {
  iteration: string | null; state: readonly string[]; reason: readonly string[]
  assignee: string; q: string; offset: number; limit: number
}
export const getQueue = (wanted: QueueQuery, signal?: AbortSignal) =>
  request<api.Queue>('GET', `/api/queue${query({ ...wanted })}`, signal ? { signal } : {})

type WireItem = Omit<api.Item, 'suspects' | 'suspects_list' | 'approval'> & {
  suspects: api.Suspect[]; approval_detail: api.Item['approval']
}
/** The queue's row has counts and words where the item has the things themselves: here they get names. */
export async function getItem(id: number): Promise<api.Item> {
  const { suspects, approval_detail, ...rest } = await request<WireItem>('GET', `/api/items/${id}`)
  return { ...rest, approval: approval_detail, suspects: suspects.length, suspects_list: suspects }
}
export const putDecision = (id: number, revision: number, key: string, body: api.SaveBody) =>
  request<api.Saved>('PUT', `/api/items/${id}/decision`,
    { body, headers: { 'If-Match': `"${revision}"`, 'Idempotency-Key': key } })
export const getRevisions = (id: number) =>
  request<{ revisions: api.Revision[] }>('GET', `/api/items/${id}/revisions`)
export const lock = (id: number) =>
  request<{ holder: api.Holder }>('POST', `/api/items/${id}/lock`, { body: {} })
export const unlock = (id: number) => request<null>('DELETE', `/api/items/${id}/lock`)
export const assign = (id: number, user: string | null) =>
  request<api.QueueItem>('POST', `/api/items/${id}/assign`, { body: { user } })
export const approve = (
  id: number, body: { revision: number; verdict: 'approved' | 'returned'; comment: string }, key: string,
) => request<api.QueueItem>('POST', `/api/items/${id}/approval`,
  { body, headers: { 'Idempotency-Key': key } })

export interface Operation {
  item: number; revision: number; op: 'add'; intervals: { start: number; end: number; label: string }[]
}
export const batch = (
  body: { operations: Operation[]; all_or_nothing: boolean; seconds: number }, key: string,
) => request<api.BatchResult>('POST', '/api/items/batch',
  { body, headers: { 'Idempotency-Key': key } })
export const countQueueBatch = (iteration: string | null, score: number, signal?: AbortSignal) =>
  request<api.QueueBatchCount>('GET', `/api/queue/batch${query({ iteration, score })}`,
    signal ? { signal } : {})
export const judgeQueue = (
  body: { iteration: string; op: 'accept' | 'reject'; score: number; state: 'done' | null }, key: string,
) => request<{ batch: number; saved: number; refused: number }>('POST', '/api/queue/batch',
  { body, headers: { 'Idempotency-Key': key } })
export const undoBatch = (id: number, key: string) =>
  request<api.BatchResult>('POST', `/api/batches/${id}/undo`,
    { body: {}, headers: { 'Idempotency-Key': key } })

export async function getWindow(
  key: string, t0: number, t1: number, px: number, signal?: AbortSignal,
): Promise<api.Window> {
  const wanted = query({ t0_ms: t0 * 1000, t1_ms: t1 * 1000, px })
  return decodeWindow(await bytes(`/api/series/${at(key)}/window${wanted}`, signal))
}
export async function getRows(key: string, start: number, end: number): Promise<api.Window> {
  const wanted = query({ start, end, px: Math.max(64, end - start + 1) })
  return decodeWindow(await bytes(`/api/series/${at(key)}/window${wanted}`))
}
export const getOverview = (key: string, px: number, model: string | null) =>
  request<api.Overview>('GET', `/api/series/${at(key)}/overview${query({ px, model })}`)
export const getScores = (
  key: string, models: readonly string[], start: number, end: number, px: number,
  signal?: AbortSignal,
) => request<api.ScoreCurves>('GET',
  `/api/series/${at(key)}/scores${query({ model: models, start, end, px })}`,
  signal ? { signal } : {})
export const getDays = (key: string, start: number, end: number, n: number, signal?: AbortSignal) =>
  request<api.Days>('GET', `/api/series/${at(key)}/days${query({ start, end, n, px: 600 })}`,
    signal ? { signal } : {})
export const getSisters = (key: string, t0: number, t1: number, signal?: AbortSignal) =>
  request<api.Sisters>('GET',
    `/api/series/${at(key)}/sisters${query({ t0_ms: t0 * 1000, t1_ms: t1 * 1000, px: 600, limit: 6 })}`,
    signal ? { signal } : {})
export const getSimilar = (key: string, start: number, end: number, scope: string, iteration: string | null) =>
  request<api.Similar>('GET',
    `/api/series/${at(key)}/similar${query({ start, end, limit: 24, scope, iteration })}`)

export const getQuality = (iteration: string | null) =>
  request<api.Quality>('GET', `/api/quality${query({ iteration })}`)
export const getJobs = () => request<{ jobs: api.Job[] }>('GET', '/api/jobs')
export const getJobLog = (id: string, offset: number) =>
  request<api.JobLog>('GET', `/api/jobs/${at(id)}/log${query({ offset })}`)
export const cancelJob = (id: string) =>
  request<api.Job>('POST', `/api/jobs/${at(id)}/cancel`, { body: {} })

export const getPeople = () => request<{ users: api.Person[] }>('GET', '/api/users')
export const putPerson = (name: string, body: { role: api.Role; active: boolean }) =>
  request<unknown>('PUT', `/api/users/${at(name)}`, { body })
/** The token itself: the server shows it this once. */
export const makeToken = (name: string) =>
  request<{ token: string }>('POST', `/api/users/${at(name)}/token`, { body: {} })
export const revokeToken = (name: string) => request<null>('DELETE', `/api/users/${at(name)}/token`)
export const getAudit = (user: string | null, before: number | null, limit: number) =>
  request<{ events: api.AuditEvent[] }>('GET', `/api/audit${query({ user, before, limit })}`)
