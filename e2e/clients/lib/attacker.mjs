// Somebody who attacks a document for as long as others work, and comes back whenever the server sends them away.

import WebSocket from 'ws'
import * as Y from 'yjs'
import { ATTACKS, Ids } from './attacks.mjs'
import { syncMessage } from './ledger.mjs'
import { step1 } from './messages.mjs'
import { Random } from './random.mjs'

/** The codes with which a server says that what was sent was wrong. */
const REFUSALS = [1002, 1003, 1007, 1008, 1009]
/** How many of the last updates are kept to be said again. */
const HEARD = 3
/** Milliseconds after which somebody who was sent away, or who does not get in, tries again. */
const AGAIN = 300
/** Milliseconds for which a server may leave a connection unanswered. */
const PATIENCE = 5000

export class Attacker {
  #random
  #ids
  #socket = null
  #here = true
  #timer = null
  #again = null
  #heard = []
  /** An earlier state of the document. */
  #stale = null
  /** Connections that were opened, messages that were sent, and connections that the server ended because of one. */
  sessions = 0
  messages = 0
  refused = 0

  /** Connects at once, each time to any of `urls`. `number`: which of the attackers of one `seed` this is. */
  constructor(urls, document, { seed, number, scale }) {
    Object.assign(this, { urls, document, scale, doc: new Y.Doc() })
    this.#random = new Random(seed, number)
    this.#ids = new Ids(number)
    this.#connect()
  }

  /** Sends `rate` attacks a second from now on, as long as there is a connection. */
  attack(rate) {
    this.stop()
    this.#timer = setInterval(() => this.#attack(), 1000 / rate)
  }

  stop() {
    clearInterval(this.#timer)
  }

  /** Gone for good, without a word. */
  vanish() {
    this.stop()
    this.#here = false
    clearTimeout(this.#again)
    this.#socket?.terminate()
  }

  #connect() {
    const url = `${this.#random.pick(this.urls)}/${encodeURIComponent(this.document)}`
    const socket = new WebSocket(url, { perMessageDeflate: false, handshakeTimeout: PATIENCE })
    this.#socket = socket
    socket.on('error', () => {})
    socket.on('open', () => {
      this.sessions += 1
      socket.send(step1(Y.encodeStateVector(this.doc)))
    })
    socket.on('message', (data) => this.#hear(new Uint8Array(data)))
    socket.on('close', (code) => {
      if (REFUSALS.includes(code)) this.refused += 1
      if (this.#here) this.#again = setTimeout(() => this.#connect(), AGAIN)
    })
  }

  #attack() {
    if (this.#socket.readyState !== WebSocket.OPEN) return
    const { doc, scale } = this
    const stale = (this.#stale ??= Y.encodeStateAsUpdate(doc))
    const own = { random: this.#random, ids: this.#ids, scale, doc, stale, heard: this.#heard }
    for (const message of this.#random.pick(Object.values(ATTACKS))(own)) {
      this.messages += 1
      this.#socket.send(message)
    }
  }

  #hear(data) {
    const body = syncMessage(data)?.body
    if (body === undefined) return
    this.#heard = [...this.#heard, body].slice(-HEARD)
    Y.applyUpdate(this.doc, body)
  }
}
