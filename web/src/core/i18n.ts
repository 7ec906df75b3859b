/** Texts of the page in the reader's language. */

import en from './messages.en'
import zh from './messages.zh'

export type Locale = 'zh' | 'en'
export type MessageKey = keyof typeof en
export type Messages = Record<MessageKey, string>

const CATALOGUES: Record<Locale, Messages> = { en, zh }

/** The first language of the browser that the page speaks. */
export function chooseLocale(languages: readonly string[], stored: string | null): Locale {
  if (stored === 'zh' || stored === 'en') return stored
  for (const language of languages) {
    const short = language.slice(0, 2).toLowerCase()
    if (short === 'zh' || short === 'en') return short
  }
  return 'en'
}

/** A text with `{name}` filled in; a word that has no translation is shown as it came. */
export function translate(
  locale: Locale, key: string, values: Record<string, string | number> = {},
): string {
  const text = CATALOGUES[locale][key as MessageKey]
  if (text === undefined) return key.slice(key.indexOf('.') + 1).replaceAll('_', ' ')
  return text.replace(/\{(\w+)\}/g, (_, name: string) => String(values[name] ?? `{${name}}`))
}
