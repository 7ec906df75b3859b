/** The main plot: uPlot draws axes and line, our layers lie under and over it. */

import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { formatValue } from '../core/time'
import type { View } from '../core/viewport'
import { inkFor } from './ink'
import { drawOver, drawUnder, LANE, TAGS, type Scene } from './layers'

export type Frame = Pick<Scene, 'left' | 'top' | 'width' | 'height' | 'toX' | 'toY'>

export interface PlotOptions {
  zone: string
  dark: boolean
  zh: boolean
  lanes: number
  scene(frame: Frame): Scene
  moved(time: number | null): void
  placed(left: number, width: number): void
}

const NAMES_ZH: Partial<uPlot.DateNames> = {
  MMMM: ['一月', '二月', '三月', '四月', '五月', '六月', '七月', '八月', '九月', '十月', '十一月', '十二月'],
  MMM: ['1月', '2月', '3月', '4月', '5月', '6月', '7月', '8月', '9月', '10月', '11月', '12月'],
  WWWW: ['星期日', '星期一', '星期二', '星期三', '星期四', '星期五', '星期六'],
  WWW: ['周日', '周一', '周二', '周三', '周四', '周五', '周六'],
}

function tickFormat(zh: boolean): (template: string) => (date: Date) => string {
  return zh ? (template) => uPlot.fmtDate(template, NAMES_ZH as uPlot.DateNames) : (template) => uPlot.fmtDate(template)
}

/** Ticks of 24 hours: plants have no am and pm. */
function timeTicks(): (string | number | null)[][] {
  const day = '\n{MMM} {D}'
  const year = '\n{YYYY}-{MM}-{DD}'
  return [
    [31_536_000, '{YYYY}', null, null, null, null, null, null, 1],
    [2_419_200, '{MMM}', '\n{YYYY}', null, null, null, null, null, 1],
    [86_400, '{MMM} {D}', '\n{YYYY}', null, null, null, null, null, 1],
    [3_600, '{HH}:{mm}', year, null, day, null, null, null, 1],
    [60, '{HH}:{mm}', year, null, day, null, null, null, 1],
    [1, '{HH}:{mm}:{ss}', year, null, day, null, null, null, 1],
    [0.001, '{HH}:{mm}:{ss}.{fff}', year, null, day, null, null, null, 1],
  ]
}

export function makePlot(host: HTMLElement, options: PlotOptions, height: number): uPlot {
  const ink = inkFor(options.dark)
  const axis = { stroke: ink.text, font: '11px system-ui, sans-serif' }
  const frame = (u: uPlot): Frame => {
    const ratio = uPlot.pxRatio
    return {
      left: u.bbox.left / ratio, top: u.bbox.top / ratio,
      width: u.bbox.width / ratio, height: u.bbox.height / ratio,
      toX: (value) => u.valToPos(value, 'x', true) / ratio,
      toY: (value) => u.valToPos(value, 'y', true) / ratio,
    }
  }
  const layer = (draw: typeof drawOver, clip: boolean) => (u: uPlot): void => {
    const pen = u.ctx
    pen.save()
    pen.setTransform(uPlot.pxRatio, 0, 0, uPlot.pxRatio, 0, 0)
    const area = frame(u)
    if (clip) {
      pen.beginPath()
      pen.rect(area.left, area.top, area.width, area.height)
      pen.clip()
    }
    draw(pen, options.scene(area))
    pen.restore()
  }
  return new uPlot({
    width: Math.max(200, host.clientWidth), height,
    padding: [TAGS + LANE * options.lanes + 4, 12, 0, 0],
    tzDate: (seconds) => zoned(seconds, options.zone),
    fmtDate: tickFormat(options.zh),
    legend: { show: false },
    scales: { x: { time: true, auto: false }, y: { range: (_u, min, max) => padded(min, max) } },
    cursor: { drag: { x: false, y: false, setScale: false }, points: { size: 6 }, y: false },
    axes: [
      { ...axis, grid: { stroke: ink.grid, width: 1 }, ticks: { show: false }, size: 36, space: 80, values: timeTicks() as unknown as uPlot.Axis.Values },
      {
        ...axis, grid: { stroke: ink.grid, width: 1 }, ticks: { show: false }, size: 62,
        values: (_u, ticks) => ticks.map((tick) => formatValue(tick)),
      },
    ],
    series: [{}, { stroke: ink.line, width: 1, // hairlines are drawn several times faster without a GPU
      spanGaps: false, points: { show: (_u, _s, from, to) => to - from < 160, size: 4, fill: ink.line, stroke: ink.line } }],
    hooks: {
      drawClear: [(u) => { options.placed(u.bbox.left / uPlot.pxRatio, u.bbox.width / uPlot.pxRatio) }, layer(drawUnder, true)],
      draw: [layer(drawOver, false)],
      setCursor: [(u) => { options.moved(u.cursor.left === undefined || u.cursor.left < 0 ? null : u.posToVal(u.cursor.left, 'x')) }],
    },
  }, [[], []], host)
}

function zoned(seconds: number, zone: string): Date {
  const date = new Date(seconds * 1000)
  try { return uPlot.tzDate(date, zone) } catch { return uPlot.tzDate(date, 'UTC') }
}

/** The y axis fits the view, with some air; a flat line lies in the middle. */
function padded(min: number | null, max: number | null): [number, number] {
  if (min === null || max === null || !Number.isFinite(min) || !Number.isFinite(max)) return [0, 1]
  const room = max > min ? (max - min) * 0.06 : Math.max(Math.abs(max) * 0.05, 0.5)
  return [min - room, max + room]
}

export function setX(plot: uPlot, view: View): void {
  plot.setScale('x', { min: view.min, max: view.max })
}
