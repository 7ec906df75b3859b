/** What a reviewer can do to the answer for one series: every function gives the next `Draft`. */

import { cut, join, overlaps, sorted, split, type Span } from './intervals'
import type { Draft, Proposal, Region, Result, Verdict } from './types'

let counter = 0
/** An id that no interval of this page has had. */
export function newId(): string {
  counter += 1
  return `r${Date.now().toString(36)}${counter.toString(36)}`
}

/** What was said of a proposal so far, or null. */
export function verdictOf(draft: Draft, proposal: string): Verdict | null {
  if (draft.intervals.some((region) => region.proposal === proposal)) return 'accepted'
  return draft.rejected.includes(proposal) ? 'rejected' : null
}

export function undecided(draft: Draft, proposals: readonly Proposal[]): Proposal[] {
  const accepted = new Set(draft.intervals.map((region) => region.proposal))
  const rejected = new Set(draft.rejected)
  return proposals.filter(({ id }) => !accepted.has(id) && !rejected.has(id))
}

/** Put a new list in place; a proposal that lost its last interval counts as rejected. */
function withIntervals(draft: Draft, list: readonly Region[]): Draft {
  const kept = new Set(list.map((region) => region.proposal))
  const lost = draft.intervals.flatMap(({ proposal }) =>
    proposal !== null && !kept.has(proposal) ? [proposal] : [])
  const rejected = [...new Set([...draft.rejected, ...lost])].filter((id) => !kept.has(id))
  return { ...draft, intervals: sorted(list), rejected, none: draft.none && list.length === 0 }
}

function replaced(draft: Draft, id: string, pieces: readonly Region[]): Draft {
  return withIntervals(draft, draft.intervals.flatMap((r) => (r.id === id ? pieces : [r])))
}

/** An interval that was changed by hand is no longer what was accepted or imported. */
function touched(region: Region): Region {
  return region.basis === 'human' ? region : { ...region, basis: 'edited' }
}

export function fromProposal(proposal: Proposal, basis: 'accepted' | 'edited'): Region {
  return {
    id: newId(), start: proposal.start, end: proposal.end, label: proposal.label, basis,
    score: proposal.score, reason: proposal.reason, comment: '', proposal: proposal.id,
  }
}

function others(draft: Draft, proposal: string): Region[] {
  return draft.intervals.filter((region) => region.proposal !== proposal)
}

export function accept(draft: Draft, proposal: Proposal): Draft {
  return withIntervals(draft, [...others(draft, proposal.id), fromProposal(proposal, 'accepted')])
}

/** Accept with another extent or label than the one proposed. */
export function acceptEdited(
  draft: Draft, proposal: Proposal, change: Partial<Span> & { label?: string },
): Draft {
  const region: Region = { ...fromProposal(proposal, 'edited'), ...change }
  return withIntervals(draft, [...others(draft, proposal.id), region])
}

export function reject(draft: Draft, proposal: Proposal): Draft {
  const rejected = [...new Set([...draft.rejected, proposal.id])]
  return withIntervals({ ...draft, rejected }, others(draft, proposal.id))
}

/** Those not judged yet whose score is at least `threshold`; without a score, none. */
export function above(draft: Draft, proposals: readonly Proposal[], threshold: number): Proposal[] {
  return undecided(draft, proposals).filter(({ score }) => score !== null && score >= threshold)
}

/** Those not judged yet whose score is below `threshold`. */
export function below(draft: Draft, proposals: readonly Proposal[], threshold: number): Proposal[] {
  return undecided(draft, proposals).filter(({ score }) => score !== null && score < threshold)
}

/** Accept or reject many as one step. */
export function judgeAll(draft: Draft, chosen: readonly Proposal[], verdict: Verdict): Draft {
  const judge = verdict === 'accepted' ? accept : reject
  return chosen.reduce((next, proposal) => judge(next, proposal), draft)
}

export function draw(draft: Draft, span: Span, label: string, id = newId()): Draft {
  const region: Region = {
    id, start: span.start, end: span.end, label, basis: 'human',
    score: null, reason: '', comment: '', proposal: null,
  }
  return withIntervals(draft, [...draft.intervals, region])
}

/** Cut a span out of every interval that it touches; an interval across it falls in two. */
export function erase(draft: Draft, hole: Span): Draft {
  if (!draft.intervals.some((region) => overlaps(region, hole))) return draft
  const list = draft.intervals.flatMap((region) =>
    overlaps(region, hole)
      ? cut(touched(region), hole).map((piece, i) => (i ? { ...piece, id: newId() } : piece))
      : [region])
  return withIntervals(draft, list)
}

export function change(
  draft: Draft, id: string, next: Partial<Span> & { label?: string },
): Draft {
  const region = draft.intervals.find((r) => r.id === id)
  if (!region) return draft
  const changed = { ...touched(region), ...next }
  const same = changed.start === region.start && changed.end === region.end
    && changed.label === region.label
  return same ? draft : replaced(draft, id, [changed])
}

export function note(draft: Draft, id: string, comment: string): Draft {
  const region = draft.intervals.find((r) => r.id === id)
  return region && region.comment !== comment
    ? replaced(draft, id, [{ ...region, comment }]) : draft
}

/** Remove an interval; where it came from a proposal, that proposal counts as rejected. */
export function remove(draft: Draft, id: string): Draft {
  return draft.intervals.some((r) => r.id === id) ? replaced(draft, id, []) : draft
}

export function splitAt(draft: Draft, id: string, row: number): Draft {
  const region = draft.intervals.find((r) => r.id === id)
  const pieces = region && split(touched(region), row)
  return pieces ? replaced(draft, id, [pieces[0], { ...pieces[1], id: newId() }]) : draft
}

/** Merge an interval with the next one; the label and the rest come from the first. */
export function mergeNext(draft: Draft, id: string): Draft {
  const index = draft.intervals.findIndex((r) => r.id === id)
  const first = draft.intervals[index]
  const second = draft.intervals[index + 1]
  if (!first || !second) return draft
  const rest = draft.intervals.filter((r) => r !== first && r !== second)
  return withIntervals(draft, [...rest, touched(join(first, second))])
}

/** "No anomaly here": every proposal is rejected, and the answer says that somebody looked. */
export function answerNone(draft: Draft, proposals: readonly Proposal[]): Draft {
  const rejected = [...new Set([...draft.rejected, ...proposals.map(({ id }) => id)])]
  return { ...withIntervals({ ...draft, rejected }, []), none: true }
}

/** Choose a value of a whole-series attribute; choosing it again takes it back. */
export function setOverall(draft: Draft, attribute: string, value: string): Draft {
  const { [attribute]: before, ...rest } = draft.overall
  return { ...draft, overall: before === value ? rest : { ...rest, [attribute]: value } }
}

/** What the answer is when the draft is finished as it is; null where nobody has said anything. */
export function resultOf(draft: Draft): Result {
  if (draft.intervals.length > 0) return 'ok'
  return draft.none ? 'none' : null
}

/** Whether two drafts say the same; who first said it, and in which order, does not count. */
export function sameAnswer(a: Draft, b: Draft): boolean {
  const words = ({ none, intervals, rejected, overall, comment, unsure }: Draft): string => JSON.stringify([
    none, intervals.map((one) => [one.id, one.start, one.end, one.label, one.comment]),
    [...rejected].sort(), Object.entries(overall).sort(), comment, unsure,
  ])
  return words(a) === words(b)
}

/** Pairs of intervals with one label that share rows, which the store refuses. */
export function clashes(draft: Draft): string[] {
  return draft.intervals.flatMap((region, i) =>
    draft.intervals.slice(0, i).some((r) => r.label === region.label && overlaps(r, region))
      ? [region.id] : [])
}
