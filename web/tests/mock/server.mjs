/** A small stand-in for the review server: the same routes, made-up data, nothing stored. */

import { createServer } from 'node:http'
import { readFile } from 'node:fs/promises'
import { extname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ATTRIBUTES, LABELS, m4, makeSeries, scoreOf, timeOf } from './data.mjs'

const STATIC = fileURLToPath(new URL('../../../src/tsloop/review/static', import.meta.url))
const CSP = "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; connect-src 'self'"
const REASONS = ['uncertain', 'random_audit', 'uncertain', 'likely_label_error', 'gold', 'uncertain']
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml', '.json': 'application/json' }
const MODEL = 'it001/chatts'
const SECOND = 'it001/knn'

class Refusal extends Error {
  constructor(status, code, message, more = {}) { super(message); Object.assign(this, { status, code, more }) }
}

export function makeWorld({ items = 24, big = 1_000_000, user = 'li' } = {}) {
  const pool = [makeSeries(0, big), ...Array.from({ length: Math.min(items, 40) - 1 }, (_, i) => makeSeries(i + 1, 2880))]
  const list = Array.from({ length: items }, (_, i) => makeItem(i, pool[(i + 1) % pool.length]))
  return { pool, items: list, user, answers: new Map(), job: null, batches: new Map() }
}

function makeItem(i, series) {
  const reason = REASONS[i % REASONS.length]
  const blind = reason === 'gold'
  const proposals = blind ? [] : series.events.map((event, n) => ({
    id: `${MODEL}:${n}`, model: MODEL, ...event, start: event.start - (n % 2) * 3, score: 0.93 - n * 0.13, reason: n === 0 ? 'far above the daily pattern' : '',
  }))
  const second = blind ? [] : series.events.slice(1).map((event, n) => ({ id: `${SECOND}:${n}`, model: SECOND, ...event, end: event.end + 9, score: 0.6, reason: '' }))
  return {
    id: i + 1, rank: i + 1, series, reason, blind, proposals: [...proposals, ...second], score: 0.95 - i * 0.01, revision: 0, author: null, updated: null, history: [],
    content: { state: 'pending', result: null, intervals: [], rejected: [], overall: {}, comment: '', unsure: false }, assignee: null, approval: null, holder: null,
  }
}

const ref = (s) => ({ key: s.key, series_id: s.series_id, group: s.group, unit: s.unit, zone: s.zone, n_rows: s.n })
const info = (s) => ({ ...ref(s), role: 'pool', t_start_ms: s.t0, t_end_ms: timeOf(s, s.n - 1), step_ms: s.step, n_missing: s.gaps.reduce((n, [a, b]) => n + b - a + 1, 0), sha256: '', value_min: 20, value_max: 90, gaps: s.gaps, n_gaps: s.gaps.length })
const row = (item) => ({
  id: item.id, rank: item.rank, series: ref(item.series), reason: item.reason, score: item.score, probability: item.reason === 'random_audit' ? 0.12 : 1,
  state: item.content.state, blind: item.blind, revision: item.revision, n_proposals: item.blind ? null : item.proposals.filter((p) => p.model === MODEL).length,
  n_intervals: item.content.intervals.length, model: item.blind ? null : MODEL, suspects: item.reason === 'likely_label_error' ? 1 : 0, assignee: item.assignee,
  holder: item.holder, approval: item.approval ? (item.approval.revision === item.revision ? 'approved' : 'stale') : 'none', unsure: item.content.unsure, result: item.content.result, author: item.author, updated_ms: item.updated, second: false,
})
const full = (item) => ({
  ...row(item), iteration: 'it002', series: info(item.series), proposals: item.proposals, content: item.content, approval_detail: item.approval,
  models: item.blind ? [] : [{ model: MODEL, primary: true, status: 'ok', reason: '', threshold: 0.5, scores: true }, { model: SECOND, primary: false, status: 'ok', reason: '', threshold: 0.55, scores: true }],
  previous: item.blind ? null : { model: 'it000/chatts', proposals: item.proposals.slice(0, 1).concat([{ ...item.proposals[0], id: 'old:9', start: 300, end: 340 }]) },
  suspects: item.reason === 'likely_label_error' ? [{ start: item.series.events[0].start, end: item.series.events[0].end, label: 'step_up', kind: 'label', score: 0.71, text: 'held-out detectors say upward spike' }] : [],
})

function points(series, rows, value = (r) => (Number.isNaN(series.y[r]) ? null : series.y[r]), shift = 0) {
  return { row: rows, t_ms: rows.map((r) => timeOf(series, r) + shift), y: rows.map(value) }
}

function binary(series, rows, start, end, exact) {
  const n = rows.length
  const buffer = new ArrayBuffer(16 + n * 20)
  new Uint32Array(buffer, 0, 4).set([n, exact ? 1 : 0, start, end])
  new Float64Array(buffer, 16, n).set(rows.map((r) => timeOf(series, r)))
  new Float64Array(buffer, 16 + 8 * n, n).set(rows.map((r) => series.y[r]))
  new Uint32Array(buffer, 16 + 16 * n, n).set(rows)
  return Buffer.from(buffer)
}

function rowsOf(series, q) {
  const clamp = (v) => Math.min(Math.max(v, 0), series.n - 1)
  const rowAt = (ms, round) => clamp(round((Number(ms) - series.t0) / series.step))
  const start = q.has('start') ? clamp(Number(q.get('start'))) : clamp(rowAt(q.get('t0_ms'), Math.floor) - 1)
  const end = q.has('end') ? clamp(Number(q.get('end'))) : clamp(rowAt(q.get('t1_ms'), Math.ceil) + 1)
  return [start, end, Number(q.get('px') ?? 1200)]
}

function write(world, item, content, decision) {
  item.revision += 1
  item.author = world.user
  item.updated = Date.now()
  item.history.push(item.content)
  item.content = { ...content, intervals: content.intervals.map((one) => ({ ...item.proposals.find((p) => p.id === one.proposal), ...one })) }
  if (decision === 'fail') throw new Refusal(507, 'storage', 'The disk is full.')
}

function decide(world, item, request, body) {
  const key = request.headers['idempotency-key']
  if (!key) throw new Refusal(400, 'bad_request', 'Idempotency-Key is missing.')
  if (world.answers.has(key)) return world.answers.get(key)
  const base = Number(String(request.headers['if-match']).replaceAll('"', ''))
  if (base !== item.revision) {
    throw new Refusal(409, 'conflict', `Revision ${base} is not the latest (${item.revision}).`, {
      yours: { base, content: body.content }, theirs: { revision: item.revision, content: item.content, author: item.author ?? '', time_ms: item.updated ?? 0 }, base: null,
    })
  }
  if (world.refuse) throw new Refusal(422, 'invalid', 'This label is not in the set.')
  if (body.content.intervals.some((one) => one.start > one.end)) throw new Refusal(422, 'invalid', 'start > end')
  write(world, item, body.content)
  const answer = { id: item.id, revision: item.revision, content: item.content, item: row(item) }
  world.answers.set(key, answer)
  return answer
}

function batch(world, body) {
  const number = world.batches.size + 1
  const before = new Map()
  const results = body.operations.map((op) => {
    const item = world.items[op.item - 1]
    if (item.revision !== op.revision) return { item: item.id, status: 'conflict', revision: item.revision }
    before.set(item.id, item.content)
    const { intervals, rejected } = item.content
    const open = item.proposals.filter((p) => p.model === MODEL && !intervals.some((one) => one.proposal === p.id) && !rejected.includes(p.id))
    const content = { ...item.content, state: op.state ?? 'in_review' }
    if (op.op === 'accept') content.intervals = [...intervals, ...open.filter((p) => p.score >= op.min_score).map((p) => ({ ...p, id: `b${p.id}`, basis: 'accepted', proposal: p.id, comment: '' }))]
    if (op.op === 'reject') content.rejected = [...rejected, ...open.filter((p) => p.score < op.max_score).map((p) => p.id)]
    if (op.op === 'add') content.intervals = [...intervals, ...op.intervals.map((one, i) => ({ ...one, id: `s${number}${i}`, basis: 'human', proposal: null, comment: '' }))]
    content.result = content.state === 'done' ? (content.intervals.length ? 'ok' : 'none') : null
    write(world, item, content)
    return { item: item.id, status: 'saved', revision: item.revision }
  })
  world.batches.set(number, before)
  return { batch: number, results, saved: results.filter((one) => one.status === 'saved').length, audit: [] }
}

function counts(items) {
  const found = { pending: 0, in_review: 0, done: 0, needs_fix: 0, skipped: 0, total: items.length }
  for (const item of items) found[item.content.state] += 1
  return found
}

function iterations(world) {
  const review = { ...counts(world.items), summary: '' }
  const common = { failure: null, archived: false, base_model: '', links: { report: '/reports/it001', mlflow: 'tsloop tracking ui' } }
  return [
    { ...common, name: 'it001', parent: null, state: 'Completed', published: true, n_labelled: 40, metrics: { chatts: { event_f1: 0.64, cost_saved: 0.41 } }, parent_metrics: {}, review: null, journal: { path: 'data/labels/it001.jsonl', exists: true, records: 40 }, can_finish: false },
    { ...common, name: 'it002', parent: 'it001', state: 'Annotating', published: false, n_labelled: null, metrics: { chatts: { event_f1: 0.71, cost_saved: 0.52 }, knn: { event_f1: 0.58, cost_saved: 0.3 } }, parent_metrics: { chatts: { event_f1: 0.64, cost_saved: 0.41 }, knn: { event_f1: 0.6, cost_saved: 0.33 } }, review, journal: { path: 'data/labels/it002.jsonl', exists: world.job !== null, records: review.done }, can_finish: true, links: { report: null, mlflow: 'tsloop tracking ui' } },
  ]
}

function job(world) {
  if (!world.job) return []
  const seconds = (Date.now() - world.job.at) / 1000
  const stages = ['dataset@it002', 'fit@it002-chatts', 'predict@it002-chatts', 'evaluate@it002', 'publish@it002']
  const done = Math.min(stages.length, Math.floor(seconds / 2))
  const state = world.job.cancelled ? 'cancelled' : done === stages.length ? 'succeeded' : 'running'
  const text = stages.slice(0, done).map((stage) => `Running stage '${stage}':\n> python -m tsloop.stages.${stage.split('@')[0]}\n{"seconds": 1.9}\n`).join('')
  return [{ id: '0007-repro-it002', name: 'repro it002', state, created: world.job.at, started: world.job.at, finished: null, rc: null, reason: null, progress: { stage: stages[done] ?? '', done, total: stages.length, what: '' }, text }]
}

function seriesRoute(world, series, what, q) {
  if (!what) return info(series)
  const [start, end, px] = rowsOf(series, q)
  if (what === 'overview') {
    const item = world.items[Number(q.get('item')) - 1]
    const heat = item?.blind ? null : { model: MODEL, n: 300, max: Array.from({ length: 300 }, (_, i) => Math.max(...series.events.map((e) => (e.start < ((i + 1) * series.n) / 300 && e.end >= (i * series.n) / 300 ? 0.9 : 0.06)))) }
    return { ...points(series, m4(series, 0, series.n - 1, px)), heat }
  }
  if (what === 'scores') return { missing: [], models: q.getAll('model').map((model, i) => ({ model, threshold: 0.5 + i * 0.05, ...points(series, m4(series, start, end, Math.min(px, 1200)), (r) => scoreOf(series, r, i)) })) }
  if (what === 'days') {
    return { days: [-3, -2, -1, 1, 2].flatMap((offset) => {
      const shift = offset * 1440
      const rows = m4(series, start, end, 300).map((r) => r + shift).filter((r) => r >= 0 && r < series.n)
      return rows.length > 2 ? [{ offset, ...points(series, rows, undefined, -shift * series.step) }] : []
    }) }
  }
  if (what === 'sisters') return { sisters: world.pool.filter((s) => s.group === series.group && s !== series && s.n === series.n).slice(0, 3).map((s) => ({ key: s.key, series_id: s.series_id, unit: s.unit, ...points(s, m4(s, ...rowsOf(s, q))) })) }
  if (what === 'similar') {
    const matches = world.items.slice(0, 12).map((item, i) => {
      const at = item.series.events[i % item.series.events.length]
      const rows = Array.from({ length: 60 }, (_, n) => Math.max(0, at.start - 20 + n))
      return { key: item.series.key, series_id: item.series.series_id, start: at.start, end: at.end, distance: 0.2 + i * 0.17, item: item.id, revision: item.revision, state: item.content.state, labelled: i === 4, ...points(item.series, rows) }
    })
    return { query: { start, end }, searched: world.pool.length, truncated: false, matches }
  }
  throw new Refusal(404, 'not_found', `No route ${what}.`)
}

function route(world, request, url, body) {
  const q = url.searchParams
  const [, , root, id, what] = url.pathname.split('/')
  const post = request.method === 'POST'
  if (root === 'session') {
    if (post) world.user = body.name ?? 'li'
    return { user: { name: world.user, role: 'admin' }, login: 'name', csrf: 'x', project: 'demo', iteration: 'it002', label_set: 'tsloop@1', version: '0.1.0', settings: { accept_moves_on: true, max_px: 4096, lock_s: 120, heartbeat_s: 40, batch_min_score: 0.8, audit_share: 0.1, max_intervals: 5000, max_body_bytes: 4194304, double_share: 0 } }
  }
  if (root === 'labels') return { ref: 'tsloop@1', labels: LABELS, attributes: ATTRIBUTES }
  if (root === 'iterations' && post) {
    if (what === 'finish' && !body.repro) return { iteration: 'it002', journal: 'data/labels/it002.jsonl', records: counts(world.items).done, changed: true, left_out: {}, opened: true, job: null }
    world.job = { at: Date.now(), cancelled: false }
    return { iteration: 'it002', journal: 'data/labels/it002.jsonl', records: counts(world.items).done, changed: true, left_out: {}, opened: true, job: '0007-repro-it002' }
  }
  if (root === 'iterations') return { open: 'it002', iterations: iterations(world) }
  if (root === 'queue' && id === 'next') {
    const after = Number(q.get('after') ?? 0)
    const states = q.getAll('state')
    const order = [...world.items.slice(after), ...world.items.slice(0, after)]
    const found = order.find((item) => states.includes(item.content.state) && !(item.holder && !item.holder.mine))
    return found ? row(found) : null
  }
  if (root === 'queue') {
    const states = q.getAll('state')
    const reasons = q.getAll('reason')
    const fits = world.items.filter((item) => (!states.length || states.includes(item.content.state)) && (!reasons.length || reasons.includes(item.reason)) && item.series.series_id.toLowerCase().includes((q.get('q') ?? '').toLowerCase()))
    const by = {}
    for (const item of world.items) by[item.reason] = (by[item.reason] ?? 0) + 1
    const offset = Number(q.get('offset') ?? 0)
    return { iteration: 'it002', total: fits.length, counts: counts(world.items), reasons: by, items: fits.slice(offset, offset + Number(q.get('limit') ?? 200)).map(row) }
  }
  if (root === 'items' && id === 'batch') return batch(world, body)
  if (root === 'batches') {
    const before = world.batches.get(Number(id)) ?? new Map()
    for (const [item, content] of before) write(world, world.items[item - 1], content)
    return { batch: Number(id), results: [], saved: before.size, audit: [] }
  }
  if (root === 'items') {
    const item = world.items[Number(id) - 1]
    if (!item) throw new Refusal(404, 'not_found', `There is no item ${id}.`)
    if (what === 'decision') return decide(world, item, request, body)
    if (what === 'lock') return request.method === 'DELETE' ? null : { holder: { user: world.user, until_ms: Date.now() + 120_000, mine: true } }
    if (what === 'assign') { item.assignee = body.user; return row(item) }
    if (what === 'approval') { item.approval = { ...body, user: world.user, time: '' }; return row(item) }
    return full(item)
  }
  if (root === 'series') {
    const series = world.pool.find((one) => one.key === id)
    if (!series) throw new Refusal(404, 'not_found', 'no such series')
    return seriesRoute(world, series, what, q)
  }
  if (root === 'quality') return { reviewers: [{ user: 'li', items: 12, decisions: 41, seconds: 220, median_seconds: 4.2, accepted: 30, edited: 4, rejected: 7, drawn: 3, accept_rate: 0.73, planted_shown: 4, planted_accepted: 1, bias: 0.25 }], agreement: { pairs: 6, kappa: 0.81, mean_iou: 0.77, items: [] } }
  if (root === 'jobs' && what === 'log') { const text = job(world)[0]?.text ?? ''; const offset = Number(q.get('offset')); return { offset, next: text.length, text: text.slice(offset), finished: false } }
  if (root === 'jobs' && what === 'cancel') { world.job.cancelled = true; return job(world)[0] }
  if (root === 'jobs') return { jobs: job(world).map(({ text, ...rest }) => rest) }
  throw new Refusal(404, 'not_found', url.pathname)
}

async function file(url, response) {
  const path = normalize(url.pathname).replace(/^([./\\])+/, '')
  const known = await readFile(join(STATIC, path || 'index.html')).catch(() => null)
  const content = known ?? await readFile(join(STATIC, 'index.html'))
  response.writeHead(200, { 'Content-Type': known && path ? TYPES[extname(path)] ?? 'text/plain' : TYPES['.html'], 'Content-Security-Policy': CSP })
  response.end(content)
}

/** Starts the server; `world` may be changed by a test while it runs. */
export function serve(world, port = 0) {
  const server = createServer((request, response) => {
    const chunks = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      const url = new URL(request.url, 'http://localhost')
      if (!url.pathname.startsWith('/api/')) return void file(url, response)
      const send = (status, value) => {
        response.writeHead(status, { 'Content-Type': 'application/json' })
        response.end(JSON.stringify(value))
      }
      try {
        if (world.down) throw new Refusal(503, 'storage', 'The database is busy.')
        if (request.headers.accept === 'application/octet-stream') {
          const series = world.pool.find((one) => one.key === url.pathname.split('/')[3])
          const [start, end, px] = rowsOf(series, url.searchParams)
          response.writeHead(200, { 'Content-Type': 'application/octet-stream' })
          return response.end(binary(series, m4(series, start, end, px), start, end, end - start < px * 4))
        }
        const value = route(world, request, url, chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : null)
        if (value === null) { response.writeHead(204); response.end() } else send(200, value)
      } catch (error) {
        if (!(error instanceof Refusal)) console.error(error)
        send(error.status ?? 500, { error: { code: error.code ?? 'bug', message: error.message, hint: '', field: null }, ...error.more })
      }
    })
  })
  return new Promise((resolve) => { server.listen(port, '127.0.0.1', () => resolve({ server, url: `http://127.0.0.1:${server.address().port}` })) })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { url } = await serve(makeWorld(), Number(process.env.PORT ?? 8791))
  console.log(url)
}
