/**
 * A whole iteration on a running `tsloop review`, as a person works: node tests/browser/loop.mjs URL PLANS [PICTURES]
 * PLANS is a JSON file: for every series id the keys, clicks and drags of benchmarks/reviewer_model.py.
 * Exits with 1 at the first thing that is not as it should be.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { chromium } from 'playwright-core'

const [url, plansFile, pictures] = process.argv.slice(2)
const plans = JSON.parse(readFileSync(plansFile, 'utf8'))
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
})
const faults = []
async function open() {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 }, locale: 'en-GB' })
  const page = await context.newPage()
  page.on('pageerror', (error) => faults.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error' && !/status of (409|422|423)/.test(message.text())) faults.push(message.text())
  })
  await page.goto(url)
  await page.waitForSelector('[data-test=queue] .queue-row')
  return page
}
const until = async (what, test, seconds = 30) => {
  for (const end = Date.now() + seconds * 1000; Date.now() < end;) {
    const found = await test()
    if (found) return found
    await new Promise((resolve) => { setTimeout(resolve, 50) })
  }
  return assert.fail(`never: ${what}`)
}
const step = (words) => console.log(`- ${words}`)
const page = await open()
const get = async (path) => (await page.request.get(url + path)).json()
const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key) }
const shot = async (name) => { if (pictures) await page.screenshot({ path: `${pictures}/${name}.png` }) }
const shown = () => page.locator('[data-item]').getAttribute('data-item').then(Number)
const revisions = async (id) => (await get(`/api/items/${id}/revisions`)).revisions

/** `shift+ArrowLeft` as Playwright spells it. */
const chord = (name) => name.replace(/^ctrl\+/, 'Control+').replace(/^shift\+/, 'Shift+')

/** Pixels of rows, from the view that is on the screen now. */
async function pixels(key, ...rows) {
  await page.waitForTimeout(350) // zoomed in: the samples of the new view are on their way
  const box = await page.locator('.u-over').boundingBox()
  const view = await page.locator('[data-test=plot]').evaluate((plot) => [Number(plot.dataset.from), Number(plot.dataset.to)])
  const places = []
  for (const row of rows) {
    const { t_ms: times, row: known } = await get(`/api/series/${key}/window?start=${row}&end=${row}&px=16`)
    const time = times[known.indexOf(row)] / 1000
    places.push(box.x + ((time - view[0]) / (view[1] - view[0])) * box.width)
  }
  return { places, y: box.y + box.height * 0.06 }
}

async function act(key, [kind, ...what]) {
  if (kind === 'key') return press(chord(what[0]))
  if (kind === 'code') return press(await page.locator(`[data-label="${what[0]}"] kbd`).innerText())
  const { places: [from, to], y } = await pixels(key, ...what.map(Number))
  if (kind === 'click') return page.mouse.click(from, y)
  // A hair outside the two samples, and at least as far as a drag has to go.
  const wide = Math.max(0, (5 - Math.abs(to - from)) / 2, 0.4)
  const turn = to < from ? -1 : 1
  const edge = await page.locator('[data-test=plot]').evaluate((plot) => plot.dataset.edit === 'yes')
  await page.mouse.move(from - (edge ? 0 : turn * wide), y)
  await page.mouse.down()
  await page.mouse.move((from + to) / 2, y)
  await page.mouse.move(to + (edge ? 0 : turn * wide), y)
  await page.mouse.up()
}

step('every series of the queue, as the scripted reviewer plans it')
await shot('queue')
await press('n')
const done = []
for (;;) {
  await page.waitForSelector('[data-item] .u-over')
  const id = await shown()
  if (done.includes(id)) break
  const item = await get(`/api/items/${id}`)
  const plan = plans[item.series.series_id]
  assert.ok(plan, `a plan for ${item.series.series_id}`)
  if (done.length === 3) await shot('item')
  for (const one of plan.steps) await act(item.series.key, one)
  await until(`${item.series.series_id} is done`, async () => (await get(`/api/items/${id}`)).state === 'done')
  const made = await revisions(id)
  console.log(JSON.stringify({
    item: id, series: item.series.series_id, plan: { keys: plan.keys, clicks: plan.gestures, decisions: plan.decisions },
    page: { keys: made.reduce((n, one) => n + one.keys, 0), clicks: made.reduce((n, one) => n + one.clicks, 0), decisions: made.length },
  }))
  done.push(id)
  if (done.length === Object.keys(plans).length) break
  await until('the next series is there', async () => await page.locator('[data-item]').count() && await shown() !== id)
}

step('two browsers on one series: the second one sees both answers')
const [id] = done
const other = await open()
for (const one of [page, other]) {
  await one.goto(`${url}/#/item/${id}`)
  await one.waitForSelector(`[data-item="${id}"] .u-over`)
}
const before = (await revisions(id)).length
await other.keyboard.press('s')
await until('the first one is saved', async () => (await revisions(id)).length === before + 1)
await press('i')
await page.keyboard.type('seen by two')
await press('Enter')
await page.waitForSelector('[data-test=conflict]')
await shot('conflict')
await press('Enter')
await until('both are kept', async () => {
  const { content } = await get(`/api/items/${id}`)
  return (await revisions(id)).length === before + 2 && content
})
await other.context().close()

step('finish, and dvc repro with its log as it runs')
await press('q')
await page.waitForSelector('[data-test=queue]')
await press('i')
await page.waitForSelector('[data-test=finish]')
await press('f')
await page.waitForSelector('[data-test=finish-ok]')
await press('Enter')
await page.waitForSelector('[data-test=jobs]')
const log = async () => await page.locator('.log').innerText().catch(() => '')
const state = async () => await page.locator('.job').innerText().catch(() => '')
await until('the log grows while the job runs', async () => /stage/i.test(await log()) && /running/.test(await state()), 120)
await shot('job')
await until('the job succeeds', async () => /succeeded/.test(await state()), 400)
await shot('iteration')

step('the next queue')
await page.waitForSelector('[data-test=create]')
await page.locator('[data-test=create]').focus()
await press('Enter')
await press('q') // at once: the queue fills by itself when the iteration is there
await page.waitForSelector('[data-test=queue] .queue-row')
const queue = await get('/api/queue')
console.log(JSON.stringify({ iteration: queue.iteration, total: queue.total, reviewed: done.length }))
await shot('next')
assert.deepEqual(faults, [])
console.log('ok')
await browser.close()
