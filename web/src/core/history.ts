/** Undo and redo over immutable values: a step is whatever was pushed as one. */

export interface History<T> {
  readonly past: readonly T[]
  readonly present: T
  readonly future: readonly T[]
}

const LIMIT = 500

export function begin<T>(present: T): History<T> {
  return { past: [], present, future: [] }
}

/** A new step; what had been undone is gone. Pushing the present value is no step. */
export function push<T>(history: History<T>, value: T): History<T> {
  if (value === history.present) return history
  return { past: [...history.past, history.present].slice(-LIMIT), present: value, future: [] }
}

export function undo<T>(history: History<T>): History<T> {
  const previous = history.past.at(-1)
  if (previous === undefined) return history
  return {
    past: history.past.slice(0, -1),
    present: previous,
    future: [history.present, ...history.future],
  }
}

export function redo<T>(history: History<T>): History<T> {
  const next = history.future[0]
  if (next === undefined) return history
  return { past: [...history.past, history.present], present: next, future: history.future.slice(1) }
}
