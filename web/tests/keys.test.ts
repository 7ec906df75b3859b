import { describe, expect, it } from 'vitest'
import { Effort } from '../src/core/effort'
import en from '../src/core/messages.en'
import zh from '../src/core/messages.zh'
import { chooseLocale, translate } from '../src/core/i18n'
import { BINDINGS, chordOf, find, isTyping } from '../src/core/keys'
import { matchCode, paletteCodes } from '../src/core/palette'

const press = (key: string, more: Partial<KeyboardEvent> = {}) => (
  { key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...more })

describe('keys', () => {
  it('name what was pressed', () => {
    expect(chordOf(press('A', { shiftKey: true }))).toBe('A')
    expect(chordOf(press('?', { shiftKey: true }))).toBe('?')
    expect(chordOf(press('ArrowLeft', { shiftKey: true }))).toBe('shift+ArrowLeft')
    expect(chordOf(press('Z', { shiftKey: true, metaKey: true }))).toBe('ctrl+shift+z')
  })
  it('have one meaning in each mode', () => {
    for (const mode of ['review', 'edge', 'queue', 'iteration'] as const) {
      const chords = BINDINGS.filter((one) => one.mode === mode).flatMap((one) => one.chords)
      expect(new Set(chords).size).toBe(chords.length)
    }
  })
  it('all have words in the help page, in both languages', () => {
    for (const one of BINDINGS.filter(({ group }) => group)) {
      expect(en).toHaveProperty([`action.${one.action}`])
      expect(zh).toHaveProperty([`action.${one.action}`])
      expect(en).toHaveProperty([`group.${one.group}`])
    }
  })
  it('mean other things while an edge is edited', () => {
    expect(find('review', press('ArrowLeft'))?.action).toBe('cursorLeft')
    expect(find('edge', press('ArrowLeft'))?.action).toBe('edgeLeft')
    expect(find('edge', press('a'))).toBeNull()
    expect(find('review', press('7'))).toEqual({ action: 'label', chord: '7' })
  })
  it('leave text fields alone', () => {
    expect(isTyping({ tagName: 'INPUT', type: 'text' } as unknown as EventTarget)).toBe(true)
    expect(isTyping({ tagName: 'INPUT', type: 'range' } as unknown as EventTarget)).toBe(false)
    expect(isTyping({ tagName: 'BUTTON' } as unknown as EventTarget)).toBe(false)
    expect(isTyping(null)).toBe(false)
  })
})

describe('palette', () => {
  const label = (id: string, group = 'g') => ({ id, zh: id, en: id, color: '', group })
  it('gives every label of a small set its own letter', () => {
    const codes = paletteCodes(['spike up', 'spike down', 'step', '卡死'].map((id) => label(id)))
    expect(new Set(codes.values()).size).toBe(4)
    expect([...codes.values()].every((code) => code.length === 1)).toBe(true)
    expect(codes.get('spike up')).toBe('s')
  })
  it('reaches every label of a large set with two letters', () => {
    const many = Array.from({ length: 90 }, (_, i) => label(`l${i}`, `g${i % 3}`))
    const codes = paletteCodes(many)
    expect(new Set(codes.values()).size).toBe(90)
    const [first, code] = [...codes][40]!
    expect(matchCode(codes, code[0]!)).toBe('more')
    expect(matchCode(codes, code)).toBe(first)
    expect(matchCode(codes, 'zz')).toBeNull()
  })
})

describe('languages', () => {
  it('have the same words, with the same blanks', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort())
    const blanks = (text: string): string[] => (text.match(/\{\w+\}/g) ?? []).sort()
    for (const [key, text] of Object.entries(en)) expect(blanks(zh[key as keyof typeof zh]), key).toEqual(blanks(text))
  })
  it('follow the browser, then the choice', () => {
    expect(chooseLocale(['fr-FR', 'zh-TW'], null)).toBe('zh')
    expect(chooseLocale(['fr'], null)).toBe('en')
    expect(chooseLocale(['zh'], 'en')).toBe('en')
  })
  it('fill in and show unknown words as they came', () => {
    expect(translate('en', 'review.rows', { n: 3 })).toBe('3 rows')
    expect(translate('zh', 'reason.my_own_sampler')).toBe('my own sampler')
  })
})

describe('effort', () => {
  it('counts work, not breaks', () => {
    let now = 0
    const effort = new Effort(() => now)
    effort.start()
    now = 2_000; effort.key()
    now = 900_000; effort.click() // a long break counts 30 s
    effort.hide()
    now = 2_000_000; effort.show()
    now += 1_000
    expect(effort.take()).toEqual({ seconds: 33, keys: 1, clicks: 1 })
    now += 500
    expect(effort.take().seconds).toBe(0.5)
  })
})
