// Somebody who has a document open, writes into it at a pace, and notes what is acknowledged.

import * as Y from 'yjs'
import { Connection } from './connection.mjs'
import { Ledger } from './ledger.mjs'

export class Author {
  #source
  #timer = null
  here = true

  /** `source` makes the edits; null for somebody who only reads. */
  constructor(url, document, source) {
    const doc = new Y.Doc()
    this.#source = source
    this.ledger = new Ledger(doc, source?.author)
    this.connection = new Connection(url, document, () => {}, { doc, Socket: this.ledger.socket() })
    this.connection.provider.awareness.setLocalState({ user: { name: `somebody in ${document}` } })
  }

  /** Writes `rate` edits a second from now on, connected or not. */
  write(rate) {
    if (this.#source === null) return
    this.#timer = setInterval(() => this.#source.edit(this.connection.doc, this.ledger), 1000 / rate)
  }

  stop() {
    clearInterval(this.#timer)
  }

  /** The machine is closed: nothing is said to the server, nothing comes back. */
  vanish() {
    this.stop()
    this.here = false
    const { provider } = this.connection
    provider.shouldConnect = false
    provider.ws?.terminate()
  }

  leave() {
    this.stop()
    this.here = false
    this.connection.leave()
  }
}

/** Short words at random places; every edit of number `deletes`, unless that is 0, also deletes something. */
export class Words {
  #count = 0

  constructor(name, deletes = 4) {
    Object.assign(this, { name, deletes })
  }

  edit(doc, origin) {
    const text = doc.getText('text')
    const place = () => Math.floor(Math.random() * (text.length + 1))
    this.#count += 1
    doc.transact(() => {
      if (this.#count % this.deletes === 0 && text.length > 2) text.delete(Math.min(place(), text.length - 2), 2)
      text.insert(place(), `${this.name}.${this.#count} `)
    }, origin)
  }
}

/** One author of a recorded session, who answers only what it has seen (see replay.mjs). */
export class Recorded {
  #next = 0

  constructor(author, own, other) {
    Object.assign(this, { author, own, other })
  }

  edit(doc, origin) {
    const due = this.own[this.#next]
    if (due === undefined || Y.getState(doc.store, this.other) < due.needs) return
    this.#next += 1
    Y.applyUpdate(doc, due.update, origin)
  }
}

/** Large pieces, each of which replaces the one before: much to send, little to keep. */
export class Bulk {
  constructor(bytes) {
    this.bytes = bytes
  }

  edit(doc, origin) {
    const map = doc.getMap('bulk')
    doc.transact(() => map.set('piece', String(Math.random()).padEnd(this.bytes, 'x')), origin)
  }
}
