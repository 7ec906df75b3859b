/** What is shown around the series: other days, sister series, score curves; fetched as the view rests. */

import { computed, shallowRef, watch } from 'vue'
import * as calls from '../api/calls'
import { toSamples } from '../api/convert'
import type { Samples } from '../api/types'
import { complain } from './app'
import { nearestIndex } from '../core/intervals'
import * as data from './data'
import { blind, item, lanes, show } from './review'

export interface Curve { model: string; threshold: number | null; samples: Samples }
export interface Sister { key: string; name: string; unit: string; samples: Samples }

export const days = shallowRef<{ offset: number; samples: Samples }[]>([])
export const sisters = shallowRef<Sister[]>([])
export const curves = shallowRef<Curve[]>([])
const REST_MS = 160
let timer: ReturnType<typeof setTimeout> | null = null
let control = new AbortController()

const rows = computed<[number, number]>(() => {
  const { row, t } = data.samples.value
  const last = (item.value?.series.n_rows ?? 1) - 1
  if (t.length === 0) return [0, last]
  const first = nearestIndex(t, data.view.value.min)
  const end = nearestIndex(t, data.view.value.max)
  return [row[Math.max(first - 1, 0)] ?? 0, row[Math.min(end + 1, row.length - 1)] ?? last]
})

async function load(): Promise<void> {
  const current = item.value
  if (!current) return
  control.abort()
  control = new AbortController()
  const { signal } = control
  const key = current.series.key
  const [start, end] = rows.value
  const { min, max } = data.view.value
  const models = lanes.value.filter((name) => current.models.some((one) => one.model === name && one.scores))
  const wanted = [
    show.days
      ? calls.getDays(key, start, end, 5, signal).then((found) => {
        days.value = found.days.map((one) => ({ offset: one.offset, samples: toSamples(one) }))
      }) : null,
    show.sisters
      ? calls.getSisters(key, min, max, signal).then((found) => {
        sisters.value = found.sisters.map((one) => ({ key: one.key, name: one.series_id, unit: one.unit, samples: toSamples(one) }))
      }) : null,
    show.scores && !blind.value && models.length > 0
      ? calls.getScores(key, models, start, end, 1000, signal).then((found) => {
        curves.value = found.models.map((one) => ({ model: one.model, threshold: one.threshold, samples: toSamples(one) }))
      }) : null,
  ]
  await Promise.all(wanted.map((one) => one?.catch(complain)))
}

function clear(): void {
  if (!show.days) days.value = []
  if (!show.sisters) sisters.value = []
  if (!show.scores || blind.value || lanes.value.length === 0) curves.value = []
}

function later(): void {
  clear()
  if (timer) clearTimeout(timer)
  timer = setTimeout(() => void load(), REST_MS)
}

watch(() => item.value?.id, () => {
  days.value = []
  sisters.value = []
  curves.value = []
  later()
})
watch([data.view, () => show.days, () => show.sisters, () => show.scores, lanes], later)
