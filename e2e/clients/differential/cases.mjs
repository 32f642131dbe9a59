// Which cases a run is made of, and how a case becomes a file and comes back.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { editedCase } from './edited.mjs'
import { liveCase, lostCase } from './honest.mjs'
import { hostileCase } from './hostile.mjs'
import { Random } from '../lib/random.mjs'
import { recordedCase } from './recordings.mjs'

const FAILURES = fileURLToPath(new URL('../../../target/differential/', import.meta.url))

const KINDS = { live: liveCase, lost: lostCase, hostile: hostileCase, recorded: recordedCase, edited: editedCase }
/** A recording has as many updates as hundreds of the other cases, a session in an editor as many as ten. */
const WEIGHTS = { live: 38, lost: 23, hostile: 31, recorded: 2, edited: 6 }

/** The case of a round: the same for the same seed, whatever was played before. */
export function makeCase(seed, round, only) {
  const random = new Random(seed, round)
  const drawn = random.weighed(WEIGHTS)
  const kind = only ?? drawn
  if (!(kind in KINDS)) throw new Error(`KIND is "${kind}"; write one of ${Object.keys(KINDS).join(', ')}`)
  return { kind, seed, round, steps: KINDS[kind](random) }
}

/** Writes a case with its updates as hex; gives the path as one would type it here. */
export function saveCase({ steps, ...about }) {
  mkdirSync(FAILURES, { recursive: true })
  const path = `${FAILURES}${about.kind}-${about.seed}-${about.round}.json`
  const lines = steps.map((step) => JSON.stringify(step.map(packed)))
  writeFileSync(path, `${JSON.stringify(about).slice(0, -1)},"steps":[\n${lines.join(',\n')}\n]}\n`)
  return relative(process.cwd(), path)
}

export function loadCase(path) {
  const { steps, ...about } = JSON.parse(readFileSync(path, 'utf8'))
  return { ...about, steps: steps.map(([name, ...rest]) => [name, ...rest.map(unpacked)]) }
}

const packed = (part) => (part instanceof Uint8Array ? Buffer.from(part).toString('hex') : part)
const unpacked = (part) => (typeof part === 'string' ? new Uint8Array(Buffer.from(part, 'hex')) : part)
