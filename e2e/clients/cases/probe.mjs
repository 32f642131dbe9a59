// Somebody honest in another document, and the longest time that one of their edits took to come back.

import { setTimeout as pause } from 'node:timers/promises'
import { string, update } from '../lib/updates.mjs'
import { Raw } from './raw.mjs'

/** Milliseconds from an acknowledgement to the next edit. */
const PACE = 20
const CLIENT = 1

export class Probe {
  #raw
  #working
  #stopped = false
  #sent = null
  #worst = 0

  constructor(raw) {
    this.#raw = raw
    this.#working = this.#work()
    // Whoever stops the probe hears of it.
    this.#working.catch(() => {})
  }

  static async start(gateway) {
    return new Probe(await Raw.open(gateway, 'another document'))
  }

  /** Milliseconds; an edit that has not come back yet counts as long as it has waited. */
  get worst() {
    return Math.round(Math.max(this.#worst, this.#sent === null ? 0 : performance.now() - this.#sent))
  }

  /** Ends it with the edit that is on its way. */
  async stop() {
    this.#stopped = true
    await this.#working
    this.#raw.end()
  }

  async #work() {
    for (let clock = 0; !this.#stopped; clock += 1) {
      const place = clock === 0 ? { parent: 't' } : { origin: [CLIENT, clock - 1] }
      this.#sent = performance.now()
      const outcome = await this.#raw.put(update([{ client: CLIENT, clock, structs: [string(place, 'x')] }]), 60)
      this.#worst = this.worst
      this.#sent = null
      if (outcome !== 'acknowledged') return
      await pause(PACE)
    }
  }
}
