/** What the whole page shares: who, which language, which theme, which view, and short messages. */

import { computed, reactive, ref, shallowRef } from 'vue'
import * as calls from '../api/calls'
import { ApiError, Unreachable } from '../api/client'
import type { LabelSet, Session } from '../api/types'
import { chooseLocale, translate, type Locale } from '../core/i18n'
import { paletteCodes } from '../core/palette'
import type { Label } from '../core/types'

export type Theme = 'auto' | 'light' | 'dark'
export interface Toast { id: number; text: string; tone: 'info' | 'bad'; action?: { text: string; run(): void } }

function stored(key: string): string | null {
  try { return localStorage.getItem(`tsloop.${key}`) } catch { return null }
}
function store(key: string, value: string): void {
  try { localStorage.setItem(`tsloop.${key}`, value) } catch { /* a private window keeps nothing */ }
}

export const session = shallowRef<Session | null>(null)
export const labelSet = shallowRef<LabelSet>({ ref: '', labels: [], attributes: [] })
export const locale = ref<Locale>(chooseLocale(navigator.languages, stored('locale')))
export const theme = ref<Theme>((stored('theme') as Theme | null) ?? 'auto')
const prefersDark = ref(matchMedia('(prefers-color-scheme: dark)').matches)
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', (event) => {
  prefersDark.value = event.matches
})
export const dark = computed(() =>
  theme.value === 'dark' || (theme.value === 'auto' && prefersDark.value))

/** Whether accept and reject go on by themselves; the server's setting until the user chooses. */
const chosenMovesOn = ref(stored('movesOn'))
export const movesOn = computed({
  get: () => chosenMovesOn.value === null
    ? session.value?.settings.accept_moves_on ?? true : chosenMovesOn.value === 'yes',
  set: (value: boolean) => {
    chosenMovesOn.value = value ? 'yes' : 'no'
    store('movesOn', chosenMovesOn.value)
  },
})

export function t(key: string, values: Record<string, string | number> = {}): string {
  return translate(locale.value, key, values)
}

export function setLocale(value: Locale): void {
  locale.value = value
  store('locale', value)
  document.documentElement.lang = value === 'zh' ? 'zh-CN' : 'en'
  document.title = t('app.title')
}

export function applyTheme(value: Theme = theme.value): void {
  theme.value = value
  store('theme', value)
  document.documentElement.dataset['theme'] = dark.value ? 'dark' : 'light'
}

export const labelsById = computed(() => new Map(labelSet.value.labels.map((one) => [one.id, one])))
export const codes = computed(() => paletteCodes(labelSet.value.labels))

export function named(one: { id?: string; zh: string; en: string }): string {
  return locale.value === 'zh' ? one.zh || one.en : one.en || one.zh
}
export function labelName(id: string): string {
  const label: Label | undefined = labelsById.value.get(id)
  return label ? named(label) : id
}

export const toasts = reactive<Toast[]>([])
let toastId = 0
export function say(text: string, tone: Toast['tone'] = 'info', action?: Toast['action']): void {
  const toast: Toast = { id: ++toastId, text, tone, ...(action ? { action } : {}) }
  toasts.splice(0, Math.max(0, toasts.length - 2))
  toasts.push(toast)
  setTimeout(() => dismiss(toast.id), action || tone === 'bad' ? 9_000 : 3_500)
}
export function dismiss(id: number): void {
  const index = toasts.findIndex((toast) => toast.id === id)
  if (index >= 0) toasts.splice(index, 1)
}

/** People and the audit trail are shown to reviewers and admins. */
export const seesPeople = computed(() => session.value?.user !== null && session.value?.user?.role !== 'annotator')

/** Tell what went wrong, once, in words; a request that was given up is no news. */
export function complain(error: unknown): void {
  if (error instanceof DOMException && error.name === 'AbortError') return
  if (error instanceof Unreachable) return say(t('error.unreachable'), 'bad')
  if (error instanceof ApiError && error.status === 401) {
    if (session.value) session.value = { ...session.value, user: null }
    return
  }
  say(error instanceof ApiError ? error.text : t('error.load', { message: String(error) }), 'bad')
}

export async function start(): Promise<void> {
  session.value = await calls.getSession()
  if (session.value.user) labelSet.value = await calls.getLabels()
}

/** `#/queue`, `#/item/17`, `#/iteration`: a reload comes back to the same place. */
export interface Route { view: 'queue' | 'review' | 'iteration' | 'people'; item: number | null }
function parse(hash: string): Route {
  const [, view, id] = hash.split('/')
  if (view === 'item' && id && /^\d+$/.test(id)) return { view: 'review', item: Number(id) }
  return { view: view === 'iteration' || view === 'people' ? view : 'queue', item: null }
}
export const route = ref<Route>(parse(location.hash))
addEventListener('hashchange', () => { route.value = parse(location.hash) })
export function go(path: string): void {
  if (location.hash !== `#/${path}`) location.hash = `#/${path}`
}

/** The dialog in front, if any: while it is open the keys are its own. */
export type Dialog = null | 'help' | 'palette' | 'batch' | 'similar' | 'conflict' | 'comment'
  | 'overall' | 'finish' | 'return' | 'history'
export const dialog = ref<Dialog>(null)
