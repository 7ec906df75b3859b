/** What the page thinks in: rows are zero-based and inclusive on both ends, times are UTC seconds. */

export type Basis = 'human' | 'accepted' | 'edited' | 'model' | 'imported' | 'simulated'
export type Verdict = 'accepted' | 'rejected'
/** `ok`: these intervals; `none`: looked and found nothing; null: no answer yet. */
export type Result = 'ok' | 'none' | null
export type ItemState = 'pending' | 'in_review' | 'done' | 'needs_fix' | 'skipped'

/** An interval that a person stands for; `proposal` names the one that it came from. */
export interface Region {
  readonly id: string
  readonly start: number
  readonly end: number
  readonly label: string
  readonly basis: Basis
  readonly score: number | null
  readonly reason: string
  readonly comment: string
  readonly proposal: string | null
}

/** An interval that a model suggests: read-only until it is accepted or taken into edit. */
export interface Proposal {
  readonly id: string
  readonly start: number
  readonly end: number
  readonly label: string
  readonly score: number | null
  readonly reason: string
  readonly model: string
}

/** Everything that a reviewer can say of one series; one value per undo step. */
export interface Draft {
  /** Somebody said "no anomaly here"; never with intervals. */
  readonly none: boolean
  readonly intervals: readonly Region[]
  readonly rejected: readonly string[]
  readonly overall: Readonly<Record<string, string>>
  readonly comment: string
  readonly unsure: boolean
}

export interface Label {
  readonly id: string
  readonly zh: string
  readonly en: string
  readonly color: string
  readonly group: string
}

export interface AttributeValue { readonly id: string; readonly zh: string; readonly en: string }
export interface Attribute extends AttributeValue { readonly values: readonly AttributeValue[] }

export const EMPTY_DRAFT: Draft = {
  none: false, intervals: [], rejected: [], overall: {}, comment: '', unsure: false,
}
