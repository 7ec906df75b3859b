/** Two answers for one series side by side, and the answer that a person makes of them. */

import { iou, sorted } from './intervals'
import type { Draft, Region } from './types'

export type Side = 'mine' | 'theirs' | 'both' | 'neither'

/** One thing to decide: the same interval in both, in one of them, or in two shapes. */
export interface Row {
  readonly kind: 'same' | 'changed' | 'mine' | 'theirs'
  readonly mine: Region | null
  readonly theirs: Region | null
}

function equal(a: Region, b: Region): boolean {
  return a.start === b.start && a.end === b.end && a.label === b.label && a.comment === b.comment
}

/** How well two intervals fit: the same one first, then the same proposal, then by overlap. */
function fit(a: Region, b: Region): number {
  if (a.id === b.id) return 3
  if (a.proposal !== null && a.proposal === b.proposal) return 2
  return iou(a, b)
}

export function compare(mine: Draft, theirs: Draft): Row[] {
  const left = [...theirs.intervals]
  const rows: Row[] = mine.intervals.map((region) => {
    const best = left.reduce<Region | null>((found, other) =>
      fit(region, other) > (found ? fit(region, found) : 0) ? other : found, null)
    if (!best) return { kind: 'mine', mine: region, theirs: null }
    left.splice(left.indexOf(best), 1)
    return { kind: equal(region, best) ? 'same' : 'changed', mine: region, theirs: best }
  })
  for (const region of left) rows.push({ kind: 'theirs', mine: null, theirs: region })
  return rows.sort((a, b) => (a.mine ?? a.theirs)!.start - (b.mine ?? b.theirs)!.start)
}

/** What a row gives when a side is chosen. */
export function chosen(row: Row, side: Side): Region[] {
  const wanted = side === 'both' ? [row.mine, row.theirs]
    : side === 'mine' ? [row.mine] : side === 'theirs' ? [row.theirs] : []
  const list = wanted.filter((region): region is Region => region !== null)
  if (side === 'both' && row.mine && row.theirs && row.mine.id === row.theirs.id) {
    return [row.mine, { ...row.theirs, id: `${row.theirs.id}-2` }]
  }
  return list
}

/** The merged answer; what is no interval (comment, attributes) comes whole from one side. */
export function merged(
  rows: readonly Row[], sides: readonly Side[], rest: Draft, none: boolean,
): Draft {
  const intervals = sorted(rows.flatMap((row, i) =>
    row.kind === 'same' ? [row.theirs!] : chosen(row, sides[i] ?? 'mine')))
  const used = new Set(intervals.map((region) => region.proposal))
  const given = rows.flatMap((row) => [row.mine?.proposal, row.theirs?.proposal])
    .filter((id): id is string => typeof id === 'string' && !used.has(id))
  const rejected = [...new Set([...rest.rejected, ...given])].filter((id) => !used.has(id))
  return { ...rest, intervals, rejected, none: none && intervals.length === 0 }
}
