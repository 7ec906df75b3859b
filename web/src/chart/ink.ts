/** Colours of the canvas. Status and model are told by colour *and* pattern (Okabe and Ito's set). */

import type { Mark } from '../core/marks'

export interface Ink {
  line: string; text: string; faint: string; grid: string; ground: string; shade: string
  proposed: string; kept: string; rejected: string; alarm: string; cursor: string
  heat(score: number): string
}

const LIGHT: Ink = {
  line: '#27323f', text: '#3a4653', faint: '#8b96a3', grid: '#e6eaee', ground: '#ffffff',
  shade: 'rgba(90,104,120,.14)', proposed: '#b85c00', kept: '#0065a8', rejected: '#8b96a3',
  alarm: '#b3267a', cursor: '#5a6878',
  heat: (score) => `rgba(184,92,0,${(0.05 + 0.95 * score).toFixed(3)})`,
}
const DARK: Ink = {
  line: '#cfd8e3', text: '#b9c4d0', faint: '#77838f', grid: '#252e38', ground: '#12181f',
  shade: 'rgba(160,176,192,.16)', proposed: '#f0a142', kept: '#56b4e9', rejected: '#77838f',
  alarm: '#e58fc0', cursor: '#9fb0c0',
  heat: (score) => `rgba(240,161,66,${(0.05 + 0.95 * score).toFixed(3)})`,
}

export function inkFor(dark: boolean): Ink {
  return dark ? DARK : LIGHT
}

/** Models in the order of their lanes: no two share colour or dash. */
const MODELS = {
  light: ['#b85c00', '#007a5a', '#8a3f9b', '#9a7b00', '#0065a8', '#b3267a'],
  dark: ['#f0a142', '#2fbf95', '#cc88dd', '#e6d04a', '#56b4e9', '#e58fc0'],
}
const DASHES: number[][] = [[], [7, 4], [2, 3], [9, 3, 2, 3], [4, 4], [12, 4]]

export function modelColor(index: number, dark: boolean): string {
  const colors = dark ? MODELS.dark : MODELS.light
  return colors[index % colors.length]!
}
export function modelDash(index: number): number[] {
  return DASHES[index % DASHES.length]!
}

export function markColor(mark: Mark, ink: Ink): string {
  if (mark.status === 'rejected') return ink.rejected
  return mark.status === 'proposed' ? ink.proposed : ink.kept
}

const patterns = new Map<string, CanvasPattern>()

/** Stripes at one of three slopes, so that models differ without colour as well. */
export function hatch(context: CanvasRenderingContext2D, color: string, kind: number, alpha: number): CanvasPattern | string {
  const key = `${color}/${kind % 3}/${alpha}`
  const known = patterns.get(key)
  if (known) return known
  const tile = document.createElement('canvas')
  const size = 10
  tile.width = tile.height = size
  const pen = tile.getContext('2d')
  if (!pen) return color
  pen.strokeStyle = color
  pen.globalAlpha = alpha
  pen.lineWidth = 2
  pen.beginPath()
  if (kind % 3 === 2) {
    pen.moveTo(0, size / 2)
    pen.lineTo(size, size / 2)
  } else {
    for (const shift of [-size, 0, size]) {
      const rising = kind % 3 === 0
      pen.moveTo(shift, rising ? size : 0)
      pen.lineTo(shift + size, rising ? 0 : size)
    }
  }
  pen.stroke()
  const made = context.createPattern(tile, 'repeat')
  if (!made) return color
  patterns.set(key, made)
  return made
}
