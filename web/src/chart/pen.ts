/** Small drawing helpers shared by the chart, the overview and the lanes below. */

export type Scale = (value: number) => number

export function scale(from: number, to: number, begin: number, end: number): Scale {
  const factor = to === from ? 0 : (end - begin) / (to - from)
  return (value) => begin + (value - from) * factor
}

/** A line with real gaps; what lies far outside the clip costs nothing but the loop. */
export function polyline(
  pen: CanvasRenderingContext2D, t: ArrayLike<number>, y: ArrayLike<number | null>,
  toX: Scale, toY: Scale,
): void {
  pen.beginPath()
  let down = false
  for (let i = 0; i < t.length; i++) {
    const value = y[i]
    if (value === null || value === undefined) {
      down = false
      continue
    }
    const px = toX(t[i]!)
    const py = toY(value)
    if (down) pen.lineTo(px, py)
    else {
      pen.moveTo(px, py)
      if (y[i + 1] === null || i + 1 === t.length) pen.lineTo(px + 0.8, py) // a sample between gaps
    }
    down = true
  }
  pen.stroke()
}

export function extent(y: ArrayLike<number | null>): [number, number] | null {
  let min = Infinity
  let max = -Infinity
  for (let i = 0; i < y.length; i++) {
    const value = y[i]
    if (value === null || value === undefined) continue
    if (value < min) min = value
    if (value > max) max = value
  }
  if (min > max) return null
  return min === max ? [min - 0.5, max + 0.5] : [min, max]
}

/** Fit a canvas to its box at the screen's resolution; the pen works in CSS pixels. */
export function prepare(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const ratio = devicePixelRatio || 1
  const wide = Math.max(1, Math.round(canvas.clientWidth * ratio))
  const high = Math.max(1, Math.round(canvas.clientHeight * ratio))
  if (canvas.width !== wide || canvas.height !== high) {
    canvas.width = wide
    canvas.height = high
  }
  const pen = canvas.getContext('2d')
  pen?.setTransform(ratio, 0, 0, ratio, 0, 0)
  pen?.clearRect(0, 0, wide, high)
  return pen
}

export function clipText(pen: CanvasRenderingContext2D, text: string, room: number): string {
  if (room < 14) return ''
  if (pen.measureText(text).width <= room) return text
  let keep = text.length
  while (keep > 1 && pen.measureText(`${text.slice(0, keep)}…`).width > room) keep -= 1
  return keep > 1 ? `${text.slice(0, keep)}…` : ''
}
