/** Active seconds, keys and clicks since the last decision; a coffee break does not count. */

const IDLE_MS = 30_000

export class Effort {
  private active = 0
  private last: number | null = null
  private keys = 0
  private clicks = 0

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** A sign of life: the time since the last one counts, up to a pause. */
  private tick(): void {
    const now = this.now()
    if (this.last !== null) this.active += Math.min(now - this.last, IDLE_MS)
    this.last = now
  }

  key(): void { this.tick(); this.keys += 1 }
  click(): void { this.tick(); this.clicks += 1 }
  move(): void { this.tick() }

  /** Begin anew: another item is on the screen. */
  start(): void {
    this.active = 0
    this.keys = 0
    this.clicks = 0
    this.last = this.now()
  }

  /** The tab is hidden: nobody looks. */
  hide(): void { this.tick(); this.last = null }
  show(): void { this.last = this.now() }

  take(): { seconds: number; keys: number; clicks: number } {
    this.tick()
    const taken = {
      seconds: Math.round(this.active) / 1000, keys: this.keys, clicks: this.clicks,
    }
    const last = this.last
    this.start()
    this.last = last
    return taken
  }
}
