// A connection that says exactly what a case wants said, and keeps what comes back.

import * as decoding from 'lib0/decoding'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { Deadline } from '../lib/deadline.mjs'
import { edit, step1 } from '../lib/messages.mjs'

const SYNC = 0
const STEP1 = 0
const STEP2 = 1

export class Raw {
  #gateway
  #socket
  #looks = new Set()
  /** The Step2 and the Updates that came. */
  answers = []
  updates = []
  /** Bytes of all messages that came. */
  received = 0
  /** What Yjs threw at what came. */
  errors = []
  /** The code and the reason with which the connection ended; null while it is open. */
  closed = null

  /** Into `doc`, if there is one, goes all that comes. */
  constructor(gateway, document, doc = null) {
    this.doc = doc
    this.#gateway = gateway
    this.#socket = new WebSocket(`${gateway.url}/${encodeURIComponent(document)}`, { perMessageDeflate: false })
    // A connection that the gateway cuts off also ends, and that is what the cases look at.
    this.#socket.on('error', () => {})
    this.#socket.on('open', () => this.#tell())
    this.#socket.on('message', (data) => this.#hear(new Uint8Array(data)))
    gateway.clients.set(this, () => this.end())
    this.#socket.on('close', (code, reason) => {
      gateway.clients.delete(this)
      this.closed = `${code} ${reason}`
      this.#tell()
    })
  }

  static async open(gateway, document, doc) {
    const raw = new Raw(gateway, document, doc)
    await raw.until('a connection', () => raw.#socket.readyState === WebSocket.OPEN || raw.closed !== null)
    await raw.#explain()
    return raw
  }

  send(...messages) {
    for (const message of messages) this.#socket.send(message)
  }

  until(what, condition, seconds = 10, describe) {
    const subscribe = (look) => {
      this.#looks.add(look)
      return () => this.#looks.delete(look)
    }
    return new Deadline(seconds).until(what, condition, subscribe, describe)
  }

  /** Asks for what a holder of `vector` lacks. By the answer all that was sent before has been dealt with, too. */
  async sync(vector, seconds) {
    const before = this.answers.length
    this.send(step1(vector))
    const what = 'a Step2, or the end of the connection'
    await this.until(what, () => this.answers.length > before || this.closed !== null, seconds)
    await this.#explain()
  }

  has(update) {
    return this.updates.some((one) => Buffer.compare(one, update) === 0)
  }

  /** Sends an update and says what became of it: `acknowledged`, or how the connection ended. */
  async put(update, seconds) {
    this.send(edit(update))
    const what = 'an acknowledgement, or the end of the connection'
    await this.until(what, () => this.has(update) || this.closed !== null, seconds)
    await this.#explain()
    return this.has(update) ? 'acknowledged' : this.closed
  }

  /** Sends a message and cuts the connection as soon as the network has it, without the end that WebSocket has. */
  cut(message) {
    this.#socket.send(message, () => this.end())
  }

  end() {
    this.#socket.terminate()
  }

  /** Where the gateway itself has ended, that is the error to show. */
  async #explain() {
    if (this.closed !== null) await this.#gateway.assertRuns()
  }

  #hear(data) {
    this.received += data.length
    try {
      this.#take(decoding.createDecoder(data))
    } catch (error) {
      this.errors.push(error.message)
    }
    this.#tell()
  }

  #take(decoder) {
    while (decoding.hasContent(decoder)) {
      // Presence, which these cases leave alone.
      if (decoding.readVarUint(decoder) !== SYNC) return
      const kind = decoding.readVarUint(decoder)
      const body = decoding.readVarUint8Array(decoder)
      if (kind === STEP1) continue
      const came = kind === STEP2 ? this.answers : this.updates
      came.push(body)
      if (this.doc !== null) Y.applyUpdate(this.doc, body)
    }
  }

  #tell() {
    for (const look of this.#looks) look()
  }
}
