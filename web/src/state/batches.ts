/** Many series at once: one request, one step back. */

import * as calls from '../api/calls'
import { complain, say, t } from './app'
import * as data from './data'
import * as queue from './queue'
import { newKey } from './saver'

export async function runBatch(operations: calls.Operation[], seconds = 0): Promise<boolean> {
  if (operations.length === 0) return false
  try {
    const result = await calls.batch({ operations, all_or_nothing: false, seconds }, newKey())
    const failed = result.results.filter((one) => one.status === 'conflict' || one.status === 'invalid').length
    const words = [t('batch.saved', { n: result.saved })]
    if (failed > 0) words.push(t('batch.failed', { n: failed }))
    if (result.audit.length > 0) words.push(t('batch.audit', { n: result.audit.length }))
    say(words.join(' '), failed > 0 ? 'bad' : 'info', {
      text: t('action.undo'), run: () => void takeBack(result.batch),
    })
    data.forget()
    await queue.refresh()
    return result.saved > 0
  } catch (error) {
    complain(error)
    return false
  }
}

/** The whole queue, however long: the server knows which series are open. */
export async function judgeQueue(op: 'accept' | 'reject', score: number, finish: boolean): Promise<void> {
  const iteration = queue.iteration()
  if (!iteration) return
  say(t('batch.working'))
  try {
    const done = await calls.judgeQueue({ iteration, op, score, state: finish ? 'done' : null }, newKey())
    const words = [t('batch.saved', { n: done.saved })]
    if (done.refused > 0) words.push(t('batch.failed', { n: done.refused }))
    say(words.join(' '), done.refused > 0 ? 'bad' : 'info', {
      text: t('action.undo'), run: () => void takeBack(done.batch),
    })
    data.forget()
    await queue.refresh()
  } catch (error) {
    complain(error)
  }
}

async function takeBack(batch: number): Promise<void> {
  try {
    const result = await calls.undoBatch(batch, newKey())
    say(t('batch.undone', { n: result.saved }))
    data.forget()
    await queue.refresh()
  } catch (error) {
    complain(error)
  }
}
