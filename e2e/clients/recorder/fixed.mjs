// Makes what libraries draw and read the same at each run: random numbers, the time, and the identifiers made of them.
//
// It must be imported before any library, since some take these functions when they are loaded.

import { webcrypto } from 'node:crypto'
import { Random } from '../lib/random.mjs'

let random = new Random(0)
let now = Date.UTC(2026, 0, 1)

/** From here on all that is drawn follows from `seed`. */
export function restart(seed) {
  random = new Random(seed, 1)
  now = Date.UTC(2026, 0, 1)
}

/** Lets time pass, in milliseconds: undo managers put together what is written at about the same time. */
export function pass(milliseconds) {
  now += milliseconds
}

Math.random = () => random.bits() / 0x100000000
globalThis.Date = class extends Date {
  constructor(...given) {
    super(...(given.length === 0 ? [now] : given))
  }

  static now() {
    return now
  }
}
webcrypto.getRandomValues = (array) => {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
  for (let index = 0; index < bytes.length; index += 1) bytes[index] = random.below(256)
  return array
}
webcrypto.randomUUID = () => {
  const hex = Array.from({ length: 32 }, () => random.below(16).toString(16)).join('')
  return [hex.slice(0, 8), hex.slice(8, 12), `4${hex.slice(13, 16)}`, `8${hex.slice(17, 20)}`, hex.slice(20)].join('-')
}
