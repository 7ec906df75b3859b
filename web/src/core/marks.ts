/** All that can be selected on one series, in the order of rows: intervals and proposals. */

import { verdictOf } from './edit'
import type { Basis, Draft, Proposal, Region } from './types'

export interface Mark {
  readonly id: string
  readonly start: number
  readonly end: number
  readonly label: string
  readonly score: number | null
  readonly reason: string
  readonly comment: string
  readonly model: string | null
  readonly status: 'proposed' | 'rejected' | Basis
  readonly proposal: Proposal | null
  readonly region: Region | null
}

function ofRegion(region: Region): Mark {
  const { id, start, end, label, score, reason, comment, basis } = region
  return { id, start, end, label, score, reason, comment, model: null, status: basis, proposal: null, region }
}

function ofProposal(proposal: Proposal, rejected: boolean): Mark {
  const { id, start, end, label, score, reason, model } = proposal
  const status = rejected ? 'rejected' : 'proposed'
  return { id, start, end, label, score, reason, comment: '', model, status, proposal, region: null }
}

/** An accepted proposal is shown as the interval it became. */
export function marksOf(draft: Draft, proposals: readonly Proposal[]): Mark[] {
  const open = proposals.flatMap((proposal) => {
    const verdict = verdictOf(draft, proposal.id)
    return verdict === 'accepted' ? [] : [ofProposal(proposal, verdict === 'rejected')]
  })
  return [...draft.intervals.map(ofRegion), ...open]
    .sort((a, b) => a.start - b.start || a.end - b.end)
}

/** The next mark in a direction, around the end; without a selection the first or the last one. */
export function step(marks: readonly Mark[], selected: string | null, by: 1 | -1): Mark | null {
  if (marks.length === 0) return null
  const index = marks.findIndex((mark) => mark.id === selected)
  if (index < 0) return marks[by === 1 ? 0 : marks.length - 1]!
  return marks[(index + by + marks.length) % marks.length]!
}

/** The next proposal of `wanted` that nobody has judged, from a row on and around the end. */
export function nextUndecided(
  marks: readonly Mark[], row: number, wanted: ReadonlySet<string>,
): Mark | null {
  const open = marks.filter((mark) => mark.status === 'proposed' && wanted.has(mark.id))
  return open.find((mark) => mark.start >= row) ?? open[0] ?? null
}

/** What one iteration proposes that the one before did not, and the other way round. */
export function difference(now: readonly Proposal[], before: readonly Proposal[]): {
  added: Proposal[]; gone: Proposal[]
} {
  const meets = (a: Proposal, b: Proposal): boolean => a.start <= b.end && b.start <= a.end
  return {
    added: now.filter((one) => !before.some((other) => meets(one, other))),
    gone: before.filter((one) => !now.some((other) => meets(one, other))),
  }
}
