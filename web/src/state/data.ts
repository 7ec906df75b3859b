/** Samples for the visible part of the series: the overview at once, detail as the view moves. */

import { computed, reactive, ref, shallowRef } from 'vue'
import * as calls from '../api/calls'
import { toSamples } from '../api/convert'
import type { Item, Overview, Samples, Window } from '../api/types'
import type { Span } from '../core/intervals'
import { compose, NO_SAMPLES, timeOfRow } from '../core/samples'
import { fitInto, frame, inside, width, type View } from '../core/viewport'
import { complain } from './app'

export interface Loaded { item: Item; overview: Samples; heat: Overview['heat'] }

const PIXELS = 900
const SETTLE_MS = 40
const NARROW_PX = 8

export const overview = shallowRef<Samples>(NO_SAMPLES as unknown as Samples)
export const heat = shallowRef<Overview['heat']>(null)
export const detail = shallowRef<Window | null>(null)
export const view = ref<View>({ min: 0, max: 1 })
/** Where the plot lies on the screen, in CSS pixels; the lanes below keep to it. */
export const box = reactive({ left: 60, width: 800 })
export const samples = computed(() => compose(overview.value, detail.value))
const info = shallowRef<Item['series'] | null>(null)

let timer: ReturnType<typeof setTimeout> | null = null
let running: AbortController | null = null
const ahead = new Map<number, Promise<Loaded>>()

async function fetchItem(id: number): Promise<Loaded> {
  const item = await calls.getItem(id)
  const model = item.models.find((one) => one.primary && one.scores)?.model ?? null
  const found = await calls.getOverview(item.series.key, PIXELS, item.blind ? null : model)
  return { item, overview: toSamples(found), heat: found.heat }
}

export function prefetch(id: number): void {
  if (ahead.has(id)) return
  const promise = fetchItem(id)
  ahead.set(id, promise)
  promise.catch(() => ahead.delete(id))
  for (const old of [...ahead.keys()].slice(0, -3)) ahead.delete(old)
}

/** Each fetched item is used once: the next visit asks the server again. */
export async function fetched(id: number): Promise<Loaded> {
  const waiting = ahead.get(id)
  ahead.delete(id)
  return waiting ? await waiting.catch(() => fetchItem(id)) : await fetchItem(id)
}

export function forget(): void { ahead.clear() }

export function show(loaded: Loaded): void {
  running?.abort()
  info.value = loaded.item.series
  overview.value = loaded.overview
  heat.value = loaded.heat
  detail.value = null
}

export const limits = computed<View>(() => {
  const series = info.value
  if (!series) return { min: 0, max: 1 }
  const min = series.t_start_ms / 1000
  const max = series.t_end_ms / 1000
  const room = Math.max((max - min) * 0.01, step.value)
  return { min: min - room, max: max + room }
})
/** Seconds from row to row, or a guess where the series has no regular step. */
export const step = computed(() => {
  const series = info.value
  if (!series) return 1
  if (series.step_ms !== null && series.step_ms > 0) return series.step_ms / 1000
  return Math.max((series.t_end_ms - series.t_start_ms) / 1000 / Math.max(series.n_rows - 1, 1), 1e-6)
})
const floor = computed(() => step.value * 12)
export const complete = computed(() => info.value !== null && overview.value.row.length >= info.value.n_rows)

export function setView(wish: View): void {
  const next = fitInto(wish, limits.value, floor.value)
  if (next.min === view.value.min && next.max === view.value.max) return
  view.value = next
  if (timer) clearTimeout(timer)
  timer = setTimeout(() => void refine(), SETTLE_MS)
}
export function fitAll(): void { setView(limits.value) }

export function timeOf(row: number): number { return timeOfRow(samples.value, row) }

/** An interval covers its last sample: half a step on both sides makes one row visible. */
export function timesOf(span: Span): View {
  const half = step.value / 2
  return { min: timeOf(span.start) - half, max: timeOf(span.end) + half }
}
export function fit(span: Span): void { setView(frame(timesOf(span), 1.5, step.value * 60)) }

/** Bring a mark into view; leave the view alone where it can be seen already. */
export function reveal(span: Span): void {
  const times = timesOf(span)
  const pixels = (width(times) / width(view.value)) * box.width
  if (!inside(times, view.value) && width(times) < width(view.value) || pixels < NARROW_PX) {
    setView(frame(times, 3, step.value * 200))
  }
}

function goodEnough(): boolean {
  if (complete.value) return true
  const window = detail.value
  if (!window || window.t.length === 0) return width(view.value) >= width(limits.value) * 0.95
  const covered = { min: window.t[0]!, max: window.t[window.t.length - 1]! }
  const wanted = fitInto(view.value, { min: info.value!.t_start_ms / 1000, max: info.value!.t_end_ms / 1000 }, 0)
  return inside(wanted, covered) && (window.exact || width(covered) < width(view.value) * 4)
}

async function refine(): Promise<void> {
  const series = info.value
  if (!series || goodEnough()) return
  running?.abort()
  const control = new AbortController()
  running = control
  const wide = frame(view.value, 0.4, 0)
  try {
    const px = Math.min(2048, Math.round(box.width * 1.6))
    const window = await calls.getWindow(series.key, wide.min, wide.max, px, control.signal)
    if (info.value === series && running === control) detail.value = window
  } catch (error) {
    complain(error)
  }
}

/** Load every row around one, so that an edge can move sample by sample. */
export async function loadAround(row: number): Promise<void> {
  const series = info.value
  if (!series || complete.value) return
  const known = detail.value
  if (known?.exact && row - 120 >= known.start && row + 120 <= known.end) return
  try {
    const window = await calls.getRows(
      series.key, Math.max(0, row - 600), Math.min(series.n_rows - 1, row + 600))
    if (info.value === series) detail.value = window
  } catch (error) {
    complain(error)
  }
}
