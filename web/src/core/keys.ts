/** Which key does what. The help page, the handler and the tests read the same table. */

export type Mode = 'review' | 'edge' | 'queue' | 'iteration' | 'people'

export interface Binding {
  readonly chords: readonly string[]
  readonly action: string
  readonly mode: Mode
  /** Section of the help page; a binding without one is an alias that the page does not list. */
  readonly group?: string
}

export interface KeyLike {
  readonly key: string
  readonly ctrlKey: boolean
  readonly metaKey: boolean
  readonly altKey: boolean
  readonly shiftKey: boolean
}

function b(mode: Mode, group: string | undefined, action: string, ...chords: string[]): Binding {
  return group ? { mode, group, action, chords } : { mode, action, chords }
}

export const BINDINGS: readonly Binding[] = [
  b('review', 'decide', 'accept', 'a'),
  b('review', 'decide', 'reject', 'x'),
  b('review', 'decide', 'none', '0'),
  b('review', 'decide', 'done', 'Enter'),
  b('review', 'decide', 'batch', 'A'),
  b('review', 'decide', 'unsure', 's'),
  b('review', 'decide', 'needsFix', '!'),
  b('review', 'decide', 'skip', 'u'),
  b('review', 'decide', 'approve', 'V'),
  b('review', 'decide', 'undo', 'z', 'ctrl+z'),
  b('review', 'decide', 'redo', 'ctrl+shift+z', 'ctrl+y', 'Z'),
  b('review', 'move', 'nextMark', 'j'),
  b('review', 'move', 'previousMark', 'k'),
  b('review', 'move', 'nextItem', 'n'),
  b('review', 'move', 'previousItem', 'p'),
  b('review', 'move', 'cursorLeft', 'ArrowLeft'),
  b('review', 'move', 'cursorRight', 'ArrowRight'),
  b('review', undefined, 'cursorLeft10', 'shift+ArrowLeft'),
  b('review', undefined, 'cursorRight10', 'shift+ArrowRight'),
  b('review', 'move', 'queue', 'q'),
  b('review', 'interval', 'edit', 'e'),
  b('review', 'interval', 'draw', 'd'),
  b('review', 'interval', 'remove', 'Delete', 'Backspace'),
  b('review', 'interval', 'split', 'w'),
  b('review', 'interval', 'merge', 'm'),
  b('review', 'interval', 'label', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
  b('review', 'interval', 'palette', 't'),
  b('review', 'interval', 'comment', 'i'),
  b('review', 'interval', 'similar', 'r'),
  b('review', 'interval', 'overall', 'o'),
  b('review', 'view', 'zoomIn', '+', '='),
  b('review', 'view', 'zoomOut', '-'),
  b('review', 'view', 'panLeft', 'h'),
  b('review', 'view', 'panRight', 'l'),
  b('review', 'view', 'fit', 'f'),
  b('review', 'view', 'fitAll', 'F'),
  b('review', 'view', 'days', 'c'),
  b('review', 'view', 'sisters', 'C'),
  b('review', 'view', 'scores', 'v'),
  b('review', 'view', 'models', 'M'),
  b('review', 'view', 'difference', 'D'),
  b('review', 'view', 'blind', 'b'),
  b('review', 'view', 'history', 'H'),
  b('review', 'view', 'help', '?'),
  b('edge', 'edge', 'edgeLeft', 'ArrowLeft'),
  b('edge', 'edge', 'edgeRight', 'ArrowRight'),
  b('edge', 'edge', 'edgeLeft10', 'shift+ArrowLeft'),
  b('edge', 'edge', 'edgeRight10', 'shift+ArrowRight'),
  b('edge', 'edge', 'edgeLeft100', 'ctrl+ArrowLeft'),
  b('edge', 'edge', 'edgeRight100', 'ctrl+ArrowRight'),
  b('edge', 'edge', 'edgeSwitch', 'Tab'),
  b('edge', 'edge', 'edgeCommit', 'Enter'),
  b('edge', 'edge', 'edgeCancel', 'Escape'),
  b('edge', undefined, 'label', '1', '2', '3', '4', '5', '6', '7', '8', '9'),
  b('edge', undefined, 'palette', 't'),
  b('edge', undefined, 'zoomIn', '+', '='),
  b('edge', undefined, 'zoomOut', '-'),
  b('edge', undefined, 'fit', 'f'),
  b('edge', undefined, 'help', '?'),
  b('queue', 'queue', 'rowDown', 'j', 'ArrowDown'),
  b('queue', 'queue', 'rowUp', 'k', 'ArrowUp'),
  b('queue', 'queue', 'open', 'Enter'),
  b('queue', 'queue', 'nextOpen', 'n'),
  b('queue', 'queue', 'search', '/'),
  b('queue', 'queue', 'toIteration', 'i'),
  b('queue', 'queue', 'batch', 'A'),
  b('queue', 'queue', 'people', 'P'),
  b('queue', undefined, 'help', '?'),
  b('iteration', 'iteration', 'queue', 'q'),
  b('iteration', 'iteration', 'finish', 'f'),
  b('iteration', 'iteration', 'people', 'P'),
  b('iteration', undefined, 'help', '?'),
  b('people', 'people', 'addUser', 'a'),
  b('people', 'people', 'queue', 'q'),
  b('people', 'people', 'toIteration', 'i'),
  b('people', undefined, 'help', '?'),
]

/** `ctrl+shift+z`, `A`, `?`: printed characters carry their shift, named keys say it. */
export function chordOf(event: KeyLike): string {
  const named = event.key.length > 1
  const ctrl = event.ctrlKey || event.metaKey
  const key = ctrl && !named ? event.key.toLowerCase() : event.key
  const shift = event.shiftKey && (named || ctrl)
  return `${ctrl ? 'ctrl+' : ''}${event.altKey ? 'alt+' : ''}${shift ? 'shift+' : ''}${key}`
}

export interface Found { readonly action: string; readonly chord: string }

export function find(mode: Mode, event: KeyLike): Found | null {
  const chord = chordOf(event)
  const binding = BINDINGS.find((one) => one.mode === mode && one.chords.includes(chord))
  return binding ? { action: binding.action, chord } : null
}

/** Text fields keep their keys. */
export function isTyping(target: EventTarget | null): boolean {
  const element = target as Partial<HTMLElement> | null
  const tag = element?.tagName ?? ''
  return tag === 'TEXTAREA' || tag === 'SELECT' || element?.isContentEditable === true
    || (tag === 'INPUT' && !['checkbox', 'radio', 'button', 'range'].includes(
      (element as HTMLInputElement).type))
}
