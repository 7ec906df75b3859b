/** Writes build.json beside the build: a hash of everything that it was made from. */
import { createHash } from 'node:crypto'
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('.', import.meta.url))
const SOURCES = ['index.html', 'package.json', 'package-lock.json', 'src', 'tsconfig.json', 'vite.config.ts']
const built = join(root, '../src/tsloop/review/static')

function files(path) {
  const full = join(root, path)
  try {
    return readdirSync(full, { withFileTypes: true }).flatMap((entry) => files(join(path, entry.name)))
  } catch {
    return [full]
  }
}
const names = (base, list) => list.map((path) => relative(base, path).replaceAll('\\', '/'))
const digest = (base, list) => {
  const hash = createHash('sha256')
  for (const name of names(base, list).sort()) {
    const text = readFileSync(join(base, name))
    hash.update(`${name}\0${createHash('sha256').update(text).digest('hex')}\n`)
  }
  return hash.digest('hex')
}
function under(folder) {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name !== 'build.json')
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
}
const stamp = { sources: digest(root, SOURCES.flatMap(files)), files: digest(built, under(built)) }
writeFileSync(join(built, 'build.json'), `${JSON.stringify(stamp, null, 2)}\n`)
console.log(`build.json ${stamp.sources.slice(0, 12)}`)
