/** Local time as the plant has it: always in the series' own zone, and always with the zone. */

const formatters = new Map<string, Intl.DateTimeFormat>()

function formatter(zone: string): Intl.DateTimeFormat {
  let found = formatters.get(zone)
  if (!found) {
    const options: Intl.DateTimeFormatOptions = {
      timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit',
      minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'longOffset',
    }
    try {
      found = new Intl.DateTimeFormat('en-CA', options)
    } catch {
      found = new Intl.DateTimeFormat('en-CA', { ...options, timeZone: 'UTC' })
    }
    formatters.set(zone, found)
  }
  return found
}

/** `2026-03-29 02:59:59.25 +01:00`; fractions only where there are some. */
export function formatTime(ms: number, zone: string, withOffset = true): string {
  if (!Number.isFinite(ms) || Math.abs(ms) > 8.64e15) return '–'
  const part: Record<string, string> = {}
  for (const { type, value } of formatter(zone).formatToParts(Math.floor(ms / 1000) * 1000)) {
    part[type] = value
  }
  const rest = Math.round((ms - Math.floor(ms / 1000) * 1000) * 1000) / 1e6
  const fraction = rest > 0 && rest < 1 ? String(rest).slice(1) : ''
  const offset = (part['timeZoneName'] ?? 'GMT').replace('GMT', '') || '+00:00'
  const date = `${part['year']}-${part['month']}-${part['day']}`
  const time = `${part['hour']}:${part['minute']}:${part['second']}${fraction}`
  return withOffset ? `${date} ${time} ${offset}` : `${date} ${time}`
}

/** `3 d 4 h`, `12 min`, `0.5 s`: two units are enough to judge a length. */
export function formatDuration(ms: number): string {
  if (ms < 60_000) return `${Number((ms / 1000).toPrecision(3))} s`
  const units: [string, number][] = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000]]
  const first = units.findIndex(([, size]) => ms >= size)
  const [name, size] = units[first]!
  const whole = Math.floor(ms / size)
  const next = units[first + 1]
  const rest = next ? Math.floor((ms - whole * size) / next[1]) : 0
  return rest > 0 && next ? `${whole} ${name} ${rest} ${next[0]}` : `${whole} ${name}`
}

export function formatValue(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size !== 0 && (size >= 1e7 || size < 1e-4)) return value.toExponential(3)
  return String(Number(value.toPrecision(6)))
}
