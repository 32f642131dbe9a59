// The client of a store that answers on a pipe: requests go out at once, answers come back in order.

import { spawn } from 'node:child_process'
import { Difference } from './difference.mjs'

export const OP = { reset: 0, admit: 1, take: 2, encode: 3, diff: 4, vector: 5, load: 6, merge: 7, keep: 8 }
/** What the first byte of an answer says. */
export const STATUS = { done: 0, waits: 1, refused: 2 }

/** An answer that takes longer is a failure: a room has other people in it. */
const SLOW_MS = 2000
/** After this long the store counts as hung. */
const HUNG_MS = 20_000
/** How much of what the store printed is repeated when it died. */
const LAST_WORDS = 2000

export class Pipe {
  #child
  #waiting = []
  #received = []
  #size = 0
  #answers = 0
  #watch = null
  #unsent = []
  #lastWords = ''

  constructor(program) {
    this.program = program
    this.#child = spawn(program, { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.stdout.on('data', (chunk) => this.#receive(chunk))
    this.#child.stderr.on('data', (chunk) => {
      this.#lastWords = (this.#lastWords + chunk).slice(-LAST_WORDS)
    })
    // A store that died says so by its exit; that it no longer reads is no news.
    this.#child.stdin.on('error', () => {})
    this.#child.on('error', (error) => this.#end(error.message))
    this.#child.on('close', (code, signal) =>
      this.#end(`the store ended with ${signal ?? code}: ${this.#lastWords.trim()}`),
    )
  }

  /** Whether requests still get answers. */
  alive = true

  /** Resolves with `{status, payload, op, slow}`; rejects when the store dies or hangs before it answers. */
  request(op, payload = new Uint8Array()) {
    if (!this.alive) return Promise.reject(new Difference('died', 'the store has ended'))
    // One write for all requests of this turn: a write each would cost more than the store needs to answer.
    if (this.#unsent.length === 0)
      process.nextTick(() => this.#child.stdin.write(Buffer.concat(this.#unsent.splice(0))))
    const head = Buffer.alloc(5)
    head.writeUInt32LE(payload.length + 1)
    head[4] = op
    this.#unsent.push(head, payload)
    const answer = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject, op, slow: false }))
    // Whoever sends many reads them one by one: a rejection is heard when its turn comes.
    answer.catch(() => {})
    if (this.#watch === null) this.#arm()
    return answer
  }

  close() {
    this.#child.stdin.end()
    this.#child.kill()
    clearTimeout(this.#watch)
  }

  #receive(chunk) {
    this.#received.push(chunk)
    this.#size += chunk.length
    if (this.#size < 4) return
    let bytes = this.#received.length === 1 ? chunk : Buffer.concat(this.#received)
    while (bytes.length >= 4) {
      const length = bytes.readUInt32LE()
      if (bytes.length < 4 + length) break
      this.#answer(bytes.subarray(4, 4 + length))
      bytes = bytes.subarray(4 + length)
    }
    this.#received = [bytes]
    this.#size = bytes.length
    this.#arm()
  }

  #answer(bytes) {
    this.#answers += 1
    const { resolve, op, slow } = this.#waiting.shift()
    resolve({ status: bytes[0], payload: new Uint8Array(bytes.subarray(1)), op, slow })
  }

  /** Watches the time until the next answer. */
  #arm(milliseconds = SLOW_MS) {
    clearTimeout(this.#watch)
    this.#watch = null
    if (this.#waiting.length === 0) return
    const answers = this.#answers
    this.#watch = setTimeout(() => {
      // This process may have been the one that was busy: what came meanwhile is read before this is called.
      setImmediate(() => {
        if (this.#answers !== answers) return
        if (milliseconds === SLOW_MS) {
          this.#waiting[0].slow = true
          this.#arm(HUNG_MS - SLOW_MS)
        } else {
          this.#end(`no answer to op ${this.#waiting[0].op} in ${HUNG_MS / 1000} s`)
        }
      })
    }, milliseconds)
  }

  #end(reason) {
    this.alive = false
    this.close()
    for (const { reject } of this.#waiting.splice(0)) reject(new Difference('died', reason))
  }
}
