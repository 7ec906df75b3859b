/** The answers of the review server, as its OpenAPI page describes them. */

import type { Attribute, Basis, ItemState, Label, Proposal, Result } from '../core/types'

export type Role = 'annotator' | 'reviewer' | 'admin'

export interface Person { name: string; role: Role; active: boolean; has_token: boolean }
export interface AuditEvent {
  id: number; time_ms: number; user: string; action: string; item: number | null
  detail: Record<string, unknown>
}

export interface Session {
  user: { name: string; role: Role } | null
  login: 'name' | 'token'
  csrf: string
  project: string
  iteration: string | null
  label_set: string
  settings: {
    accept_moves_on: boolean; max_px: number; lock_s: number; heartbeat_s: number
    batch_min_score: number; audit_share: number; max_intervals: number
  }
  version: string
}

export interface LabelSet { ref: string; labels: Label[]; attributes: Attribute[] }

export interface Counts {
  total: number; pending: number; in_review: number; done: number
  needs_fix: number; skipped: number
}

export type Metrics = Record<string, Record<string, number | null>>

export interface Iteration {
  name: string; parent: string | null; state: string; failure: string | null
  archived: boolean; published: boolean; n_labelled: number | null
  metrics: Metrics; parent_metrics: Metrics
  review: (Counts & { summary: string }) | null
  journal: { path: string; exists: boolean; records: number }
  can_finish: boolean
  links: { report: string | null; mlflow: string | null }
}

export interface SeriesRef {
  key: string; series_id: string; group: string; unit: string; zone: string; n_rows: number
}

export interface SeriesInfo extends SeriesRef {
  role: string; t_start_ms: number; t_end_ms: number; step_ms: number | null; n_missing: number
  value_min: number | null; value_max: number | null
  gaps: [number, number][]; n_gaps: number
}

export interface Holder { user: string; until_ms: number; mine: boolean }

export interface QueueItem {
  id: number; rank: number; series: SeriesRef; reason: string
  score: number | null; probability: number | null; state: ItemState; blind: boolean
  revision: number; n_proposals: number | null; n_intervals: number; model: string | null
  suspects: number; assignee: string | null; holder: Holder | null
  approval: 'none' | 'approved' | 'stale'; unsure: boolean; result: Result
  author: string | null; updated_ms: number | null; second: boolean
}

export interface Queue {
  iteration: string; total: number; counts: Counts
  reasons: Record<string, number>; items: QueueItem[]
}

export interface ContentInterval {
  id: string; start: number; end: number; label: string; basis: Basis; proposal: string | null
  score?: number | null; reason?: string; comment: string
  author?: string; time?: string
}

export interface Content {
  state: ItemState; result: Result; intervals: ContentInterval[]; rejected: string[]
  overall: Record<string, string>; comment: string; unsure: boolean
}

export interface ModelInfo {
  model: string; primary: boolean; status: 'ok' | 'none' | 'failed'; reason: string
  threshold: number | null; scores: boolean
}

export interface Suspect {
  start: number; end: number; label: string; kind: string; score: number; text: string
}

export interface Item extends Omit<QueueItem, 'series' | 'approval'> {
  iteration: string; series: SeriesInfo; proposals: Proposal[]; models: ModelInfo[]
  previous: { model: string; proposals: Proposal[] } | null
  suspects_list: Suspect[]; content: Content
  approval: { revision: number; verdict: string; user: string; time: string; comment: string } | null
}

export interface SaveBody {
  content: Content; seconds: number; keys: number; clicks: number; decision: string
}

export interface Saved { id: number; revision: number; content: Content; item: QueueItem }

export interface Conflict {
  yours: { base: number; content: Content }
  theirs: { revision: number; content: Content; author: string; time_ms: number }
  base: { revision: number; content: Content } | null
}

/** Some samples of a series, in order; `y` is null in a gap, `t` seconds since the epoch, UTC. */
export interface Samples { row: Uint32Array | number[]; t: Float64Array | number[]; y: (number | null)[] }
export interface Window extends Samples { start: number; end: number; exact: boolean }

export interface Points { row: number[]; t_ms: number[]; y: (number | null)[] }
export interface Overview extends Points {
  heat: { model: string; n: number; max: (number | null)[] } | null
}
export interface ScoreCurves {
  models: (Points & { model: string; threshold: number | null })[]; missing: string[]
}
export interface Days { days: (Points & { offset: number })[] }
export interface Sisters { sisters: (Points & { key: string; series_id: string; unit: string })[] }

export interface Match extends Points {
  key: string; series_id: string; start: number; end: number; distance: number
  item: number | null; revision: number | null; state: ItemState | null; labelled: boolean
}
export interface Similar {
  query: { start: number; end: number }; searched: number; truncated: boolean; matches: Match[]
}

interface Affected { series: number; proposals: number }
export interface QueueBatchCount { score: number; accept: Affected; reject: Affected }

export interface BatchResult {
  batch: number; saved: number; audit: number[]
  results: { item: number; status: string; revision: number; error?: { message: string } }[]
}

export interface Job {
  id: string; name: string; state: string; created: string | number | null
  started: string | number | null; finished: string | number | null
  rc: number | null; reason: string | null
  progress: { stage: string | null; done: number | null; total: number | null; what: string | null } | null
}
export interface JobLog { offset: number; next: number; text: string; finished: boolean }

export interface Finished {
  iteration: string; journal: string; records: number; changed: boolean
  left_out: Record<string, number>; opened: boolean; job: string | null
}

export interface Reviewer {
  user: string; items: number; decisions: number; seconds: number; median_seconds: number | null
  accepted: number; edited: number; rejected: number; drawn: number; accept_rate: number | null
  planted_shown: number; planted_accepted: number; bias: number | null
}
export interface Quality {
  reviewers: Reviewer[]
  agreement: { pairs: number; kappa: number | null; mean_iou: number | null }
}
export interface Revision {
  revision: number; author: string; time_ms: number; decision: string; seconds: number | null
  model: string | null; content: Content
}
