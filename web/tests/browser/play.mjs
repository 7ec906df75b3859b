/**
 * A reviewer at work, by keyboard alone, against the mock server: node tests/browser/play.mjs
 * Exits with 1 at the first thing that is not as it should be. Prints times of the last step.
 */
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { makeWorld, serve } from '../mock/server.mjs'

const world = makeWorld({ items: 24 })
const { server, url } = await serve(world)
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
const page = await (await browser.newContext({ viewport: { width: 1360, height: 820 }, locale: 'en-GB' })).newPage()
const faults = []
page.on('pageerror', (error) => faults.push(error.message))
page.on('console', (message) => { if (message.type() === 'error' && !/status of (409|422|503)/.test(message.text())) faults.push(message.text()) })
const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key) }
const until = async (what, test) => {
  for (let i = 0; i < 400; i++) {
    if (await test()) return
    await page.waitForTimeout(50)
  }
  assert.fail(`never: ${what}`)
}
const shows = (id) => until(`item ${id} is shown`, async () => await page.locator(`[data-item="${id}"]`).count() === 1)
const item = (id) => world.items[id - 1]
const saved = (id, revision) => until(`item ${id} has revision ${revision}`, () => item(id).revision >= revision)
const step = (words) => console.log(`- ${words}`)

await page.goto(url)
await page.waitForSelector('[data-test=queue] .queue-row')
await press('n')
await shows(1)

step('accept, reject, accept: done, and the next item is there')
await press('a', 'x', 'a')
await shows(2)
await saved(1, 3)
assert.equal(item(1).content.state, 'done')
assert.deepEqual(item(1).content.intervals.map((one) => one.basis), ['accepted', 'accepted'])
assert.equal(item(1).content.rejected.length, 1)

step('a slip on the last proposal is mended: back, undo, and on again')
await press('p')
await shows(1)
await press('z')
await saved(1, 4)
assert.deepEqual([item(1).content.state, item(1).content.intervals.length], ['in_review', 1])
await press('Control+Shift+Z', 'Enter')
await shows(2)
await saved(1, 6)
assert.equal(item(1).content.state, 'done')

step('edges by arrow keys; the proposal stays as it was until the edit is kept')
const before = item(2).proposals[0]
await press('e', 'Tab', 'ArrowRight', 'ArrowRight', 'Shift+ArrowRight')
assert.equal(item(2).revision, 0)
await press('Enter')
await saved(2, 1)
assert.equal(item(2).content.intervals[0].end, before.end + 12)
assert.equal(item(2).content.intervals[0].basis, 'edited')

step('undo and redo are saved, too')
await press('z')
await saved(2, 2)
assert.equal(item(2).content.intervals.length, 0)
await press('Control+Shift+Z')
await saved(2, 3)
assert.equal(item(2).content.intervals.length, 1)

step('draw at the cursor, relabel by palette, split, merge, comment, attributes')
await press('F', 'ArrowRight', 'd', 'Shift+ArrowRight', 'Enter')
await saved(2, 4)
const drawn = item(2).content.intervals.find((one) => one.basis === 'human')
assert.ok(drawn && drawn.end > drawn.start)
await press('t', 's')
await saved(2, 5)
assert.equal(item(2).content.intervals.find((one) => one.basis === 'human').label, 'step_up')
await press('Shift+ArrowRight', 'w')
await saved(2, 6)
assert.equal(item(2).content.intervals.filter((one) => one.basis === 'human').length, 2)
await press('m')
await saved(2, 7)
assert.equal(item(2).content.intervals.filter((one) => one.basis === 'human').length, 1)
await press('i')
await page.keyboard.type('looks real 真的')
await press('Enter')
await saved(2, 8)
assert.equal(item(2).content.intervals.find((one) => one.basis === 'human').comment, 'looks real 真的')
await press('o', '2', 'Enter')
await saved(2, 9)
assert.equal(item(2).content.overall.trend, 'decrease')

step('batch above a score is one step back')
await press('A')
await page.waitForSelector('dialog')
for (let i = 0; i < 8; i++) await press('ArrowDown')
await press('a')
await saved(2, 10)
const all = item(2).content.intervals.length
assert.ok(all >= 3)
await press('z')
await saved(2, 11)
assert.ok(item(2).content.intervals.length < all)

step('no anomaly here')
await press('n')
await shows(3)
await press('0')
await shows(4)
await saved(3, 1)
assert.deepEqual([item(3).content.state, item(3).content.result], ['done', 'none'])

step('somebody else saves first: nothing is lost, the reviewer chooses')
item(4).revision = 5
item(4).author = 'wang'
item(4).updated = Date.UTC(2026, 3, 2, 7, 41)
item(4).content = { ...item(4).content, state: 'in_review', intervals: [{ id: 'w1', start: 100, end: 120, label: 'dropout', basis: 'human', proposal: null, comment: '' }] }
await press('a')
await page.waitForSelector('[data-test=conflict]')
if (process.argv[2]) await page.screenshot({ path: `${process.argv[2]}/conflict.png` })
await press('Enter')
await saved(4, 6)
assert.deepEqual(item(4).content.intervals.map((one) => one.label).sort(), ['dropout', 'upward_spike'])

step('the server is away: work goes on, is kept over a reload, and is sent once')
world.down = true
await press('a', 'x')
await until('unsent is shown', async () => /unsent/.test(await page.locator('[data-test=save]').innerText()))
const half = item(4).revision
page.on('dialog', (dialog) => void dialog.accept())
world.down = false
await page.reload()
await until('everything is sent', async () => /✓/.test(await page.locator('[data-test=save]').innerText().catch(() => '')))
await saved(4, half + 2)
await page.waitForTimeout(300)
assert.equal(item(4).revision, half + 2)
await shows(4)

step('a blind item has no proposals')
await page.goto(`${url}/#/item/5`)
await shows(5)
assert.equal(await page.locator('[data-test=marks] li').count(), 0)

step('mouse: a drag draws, a click changes nothing, shift and drag erases')
await page.waitForTimeout(300)
const box = await page.locator('.u-over').boundingBox()
const at = (share, y = 0.05) => [box.x + box.width * share, box.y + box.height * y]
const drag = async (from, to) => { await page.mouse.move(...at(from)); await page.mouse.down(); await page.mouse.move(...at((from + to) / 2)); await page.mouse.move(...at(to)); await page.mouse.up() }
await drag(0.3, 0.5)
await saved(5, 1)
const wide = item(5).content.intervals[0]
await page.mouse.click(...at(0.4))
await page.waitForTimeout(200)
assert.equal(item(5).revision, 1)
await page.keyboard.down('Shift')
await drag(0.38, 0.42)
await page.keyboard.up('Shift')
await saved(5, 2)
assert.equal(item(5).content.intervals.length, 2)
assert.equal(item(5).content.intervals[0].start, wide.start)
assert.equal(item(5).content.intervals[1].end, wide.end)
await drag(0.3, 0.25) // the left edge of the first one
await saved(5, 3)
assert.ok(item(5).content.intervals[0].start < wide.start)

step('what the server refuses is said, and can be sent again or dropped')
world.refuse = true
await press('s')
await page.waitForSelector('[data-test=refused]')
world.refuse = false
await page.click('[data-test=refused] button >> nth=0')
await saved(5, 4)
assert.equal(item(5).content.unsure, true)
world.refuse = true
await press('s')
await page.waitForSelector('[data-test=refused]')
world.refuse = false
await page.click('[data-test=refused] button >> nth=1')
await until('it is gone', async () => await page.locator('[data-test=refused]').count() === 0)
assert.equal(item(5).revision, 4)

step('finish the iteration')
await press('q')
await page.waitForSelector('[data-test=queue]')
await press('i')
await page.waitForSelector('[data-test=finish]')
await press('f')
await page.waitForSelector('[data-test=finish-ok]')
await press('Enter')
await page.waitForSelector('[data-test=jobs]')
await until('the job ends', async () => /succeeded/.test(await page.locator('.job').innerText()))
if (process.argv[2]) await page.screenshot({ path: `${process.argv[2]}/job.png` })

step('times on a million rows')
const big = world.items.find((one) => one.series.n === 1_000_000)
if (big) {
  await page.goto(`${url}/#/queue`)
  await page.waitForSelector('[data-test=queue] .queue-row')
  const painted = (id) => page.evaluate(async (wanted) => {
    const begin = performance.now()
    location.hash = `#/item/${wanted}`
    while (!document.querySelector(`[data-item="${wanted}"] .u-over`)) await new Promise((r) => { requestAnimationFrame(r) })
    await new Promise((r) => { requestAnimationFrame(() => requestAnimationFrame(r)) })
    return performance.now() - begin
  }, id)
  const first = await painted(big.id)
  await press('F')
  await page.waitForTimeout(500)
  const frame = await page.evaluate(async () => {
    const over = document.querySelector('.u-over').getBoundingClientRect()
    const times = []
    for (let i = 0; i < 12; i++) {
      const begin = performance.now()
      document.querySelector('.u-over').dispatchEvent(new WheelEvent('wheel', { deltaY: -200, clientX: over.x + over.width * 0.4, clientY: over.y + 50, cancelable: true }))
      await new Promise((r) => { requestAnimationFrame(() => requestAnimationFrame(r)) })
      times.push(performance.now() - begin)
    }
    return times.sort((a, b) => a - b)[10]
  })
  console.log(`  first paint ${first.toFixed(0)} ms, zoom step (p90) ${frame.toFixed(0)} ms`)
}
assert.deepEqual(faults, [])
console.log('ok')
await browser.close()
server.close()
