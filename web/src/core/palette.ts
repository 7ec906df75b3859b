/** Keys of labels: `1`–`9` for the first nine, and after `t` a code for every one. */

import type { Label } from './types'

const LETTERS = 'abcdefghijklmnopqrstuvwxyz'

/**
 * One character for each label where they suffice: a letter of its English words if it is free,
 * else any that is. Sets of more than 26 labels get two letters each, the first telling the group.
 */
export function paletteCodes(labels: readonly Label[]): Map<string, string> {
  return labels.length <= LETTERS.length ? singles(labels) : pairs(labels)
}

function singles(labels: readonly Label[]): Map<string, string> {
  const taken = new Set<string>()
  const codes = new Map<string, string>()
  for (const label of labels) {
    const words = `${label.en} ${label.id}`.toLowerCase().split(/[^a-z]+/)
    const wanted = [...words.map((word) => word.slice(0, 1)), ...words.join(''), ...LETTERS]
    const free = wanted.find((letter) => letter !== '' && !taken.has(letter))
    if (free === undefined) continue
    taken.add(free)
    codes.set(label.id, free)
  }
  return codes
}

function pairs(labels: readonly Label[]): Map<string, string> {
  const codes = new Map<string, string>()
  const counts = new Map<string, number>()
  const groups = [...new Set(labels.map((label) => label.group))]
  const firsts = new Map<string, number>()
  let next = 0
  for (const group of groups) {
    const members = labels.filter((label) => label.group === group).length
    firsts.set(group, next)
    next += Math.ceil(members / LETTERS.length)
  }
  for (const label of labels) {
    const count = counts.get(label.group) ?? 0
    counts.set(label.group, count + 1)
    const first = (firsts.get(label.group) ?? 0) + Math.floor(count / LETTERS.length)
    codes.set(label.id, `${LETTERS[first % 26]}${LETTERS[count % 26]}`)
  }
  return codes
}

/** What typing `typed` means so far: a label, several that still fit, or none. */
export function matchCode(codes: ReadonlyMap<string, string>, typed: string): string | 'more' | null {
  for (const [id, code] of codes) if (code === typed) return id
  return [...codes.values()].some((code) => code.startsWith(typed)) ? 'more' : null
}
