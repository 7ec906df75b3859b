/** Made-up series, proposals and labels for the mock server; the same ones every time. */

function random(seed) {
  let state = seed
  return () => {
    state = (state * 1664525 + 1013904223) % 4294967296
    return state / 4294967296
  }
}

const T0 = Date.UTC(2026, 2, 26, 23, 0, 0)

/** One series with spikes, a step, a stuck stretch and a gap. */
export function makeSeries(index, n) {
  const next = random(index + 1)
  const y = new Float64Array(n)
  const day = Math.min(1440, n / 4)
  for (let i = 0; i < n; i++) {
    y[i] = 52 + 6 * Math.sin((2 * Math.PI * i) / day) + 1.4 * Math.sin((2 * Math.PI * i) / (day / 5)) + (next() - 0.5) * 1.6
  }
  const at = (share, length) => [Math.floor(n * share), Math.floor(n * share) + length]
  const events = []
  const add = (share, length, label, change) => {
    const [start, stop] = at(share, length)
    for (let i = start; i < stop; i++) y[i] = change(y[i], i - start)
    events.push({ start, end: stop - 1, label })
  }
  const unit = Math.max(4, Math.round(Math.min(n, 4000) / 160))
  add(0.18, 3, 'upward_spike', (v) => v + 22)
  if (index % 3 !== 2) add(0.41, unit * 2, 'step_down', (v) => v - 9)
  if (index % 2 === 0) add(0.66, unit * 3, 'flatline', () => 55)
  add(0.83, unit, 'oscillation', (v, i) => v + 6 * Math.sin(i * 1.3))
  const [gap0, gap1] = at(0.55, unit)
  for (let i = gap0; i < gap1; i++) y[i] = NaN
  const key = (0x1234567890ab0000n + BigInt(index)).toString(16).padStart(16, '0')
  const names = ['FI_10101A.PV', '反应器温度_TI_20304.PV', 'PI_30112.PV', 'LI_40207B.PV', 'TI_50881.PV', 'AI_60013.PV 🔥']
  return {
    index, key, y, n, events, series_id: n > 500_000 ? 'FI_90001.PV (1 M rows)' : names[index % names.length].replace('.PV', `_${index}.PV`),
    group: `unit_${1 + (index % 3)}`, unit: ['m³/h', '°C', 'bar', '%'][index % 4], zone: 'Europe/Berlin', step: 60_000, t0: T0,
    gaps: [[gap0, gap1 - 1]],
  }
}

export const timeOf = (series, row) => series.t0 + row * series.step

/** First, lowest, highest and last row of each bucket, and the edges of gaps. */
export function m4(series, start, end, px) {
  const rows = new Set([start, end])
  const n = end - start + 1
  const { y } = series
  if (n <= px * 4) {
    for (let i = start; i <= end; i++) rows.add(i)
  } else {
    for (let b = 0; b < px; b++) {
      const from = start + Math.floor((b * n) / px)
      const to = start + Math.floor(((b + 1) * n) / px) - 1
      let low = -1, high = -1, gap = -1
      for (let i = from; i <= to; i++) {
        if (Number.isNaN(y[i])) { gap = i; continue }
        if (low < 0 || y[i] < y[low]) low = i
        if (high < 0 || y[i] > y[high]) high = i
      }
      for (const row of [from, to, low, high, gap]) if (row >= 0) rows.add(row)
    }
  }
  return [...rows].sort((a, b) => a - b)
}

export function scoreOf(series, row, shift = 0) {
  let best = 0.04 + 0.05 * Math.abs(Math.sin(row / 37 + shift))
  for (const { start, end } of series.events) {
    const away = row < start ? start - row : row > end ? row - end : 0
    best = Math.max(best, 0.93 * Math.exp(-away / 12) - shift * 0.1)
  }
  return best
}

export const LABELS = [
  ['anomaly', '异常', 'anomaly', '#dc2626', 'general'], ['upward_spike', '上行尖峰', 'upward spike', '#ef4444', 'spike'],
  ['downward_spike', '下行尖峰', 'downward spike', '#f97316', 'spike'], ['step_up', '阶跃上升', 'step up', '#22c55e', 'step'],
  ['step_down', '阶跃下降', 'step down', '#14b8a6', 'step'], ['gradual_drift', '缓慢漂移', 'gradual drift', '#3b82f6', 'drift'],
  ['oscillation', '震荡区间', 'oscillation', '#a855f7', 'shape'], ['variance_change', '波动变化', 'variance change', '#d946ef', 'shape'],
  ['contextual', '上下文异常', 'contextual anomaly', '#10b981', 'shape'], ['flatline', '数值卡死', 'flat line (stuck)', '#64748b', 'sensor'],
  ['clipping', '削顶饱和', 'clipping (saturation)', '#0ea5e9', 'sensor'], ['dropout', '掉零', 'dropout', '#78716c', 'sensor'],
].map(([id, zh, en, color, group]) => ({ id, zh, en, color, group }))

export const ATTRIBUTES = [
  { id: 'trend', zh: '趋势', en: 'trend', values: [['increase', '上升', 'rising'], ['decrease', '下降', 'falling'], ['stable', '平稳', 'stable']] },
  { id: 'noise', zh: '噪声水平', en: 'noise', values: [['high', '高', 'high'], ['medium', '中', 'medium'], ['low', '低', 'low']] },
].map((one) => ({ ...one, values: one.values.map(([id, zh, en]) => ({ id, zh, en, color: '#888888', group: '' })) }))
