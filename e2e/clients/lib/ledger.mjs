// What one author has written, and what of it the server has acknowledged.
//
// The gateway acknowledges an update, and the Step2 by which a client tells after a reconnect what it has written
// meanwhile, by sending the same bytes back as an Update, in the order in which they came.

import * as decoding from 'lib0/decoding'
import WebSocket from 'ws'
import * as Y from 'yjs'

const SYNC = 0
const STEP2 = 1
const UPDATE = 2

export class Ledger {
  /** Every edit: the author's Yjs clock behind it, what it deleted, and when it was made. */
  #edits = []
  /** How many of them, from the first on, are acknowledged. */
  acknowledged = 0
  /** Milliseconds from an edit to its acknowledgement, the longest. */
  longestStall = 0

  /** `doc`: whose updates of origin `this` are the edits; `author`: the Yjs client id that they carry. */
  constructor(doc, author = doc.clientID) {
    this.author = author
    doc.on('update', (update, origin) => {
      if (origin === this) this.#write(update)
    })
  }

  get written() {
    return this.#edits.length
  }

  get waiting() {
    return this.#edits.length - this.acknowledged
  }

  /** Milliseconds that the oldest edit without acknowledgement has waited. */
  get stall() {
    return this.waiting === 0 ? 0 : performance.now() - this.#edits[this.acknowledged].made
  }

  /** How many acknowledged edits `doc` lacks. */
  lost(doc) {
    const deleted = Y.createDeleteSetFromStructStore(doc.store)
    const clock = Y.getState(doc.store, this.author)
    const isGone = ([client, from, length]) =>
      Array.from({ length }, (_, i) => Y.isDeleted(deleted, Y.createID(client, from + i))).every(Boolean)
    return this.#edits
      .slice(0, this.acknowledged)
      .filter(({ end, deletes }) => end > clock || !deletes.every(isGone)).length
  }

  #write(update) {
    const { structs, ds } = Y.decodeUpdate(update)
    const own = structs.filter(({ id }) => id.client === this.author)
    this.#edits.push({
      end: Math.max(0, ...own.map(({ id, length }) => id.clock + length)),
      deletes: [...ds.clients].flatMap(([client, ranges]) => ranges.map(({ clock, len }) => [client, clock, len])),
      made: performance.now(),
    })
  }

  acknowledge(count) {
    const now = performance.now()
    for (; this.acknowledged < count; this.acknowledged += 1) {
      this.longestStall = Math.max(this.longestStall, now - this.#edits[this.acknowledged].made)
    }
  }

  /** A class of WebSockets that reads along. */
  socket() {
    const ledger = this
    return class extends WebSocket {
      /** What was sent and did not come back yet, with the number of edits that are written down by then. */
      #sent = []
      /** Updates that go out before the Step2 may build upon edits that only the Step2 brings. */
      #complete = false

      constructor(...words) {
        super(...words)
        this.on('message', (data) => this.#heard(data))
      }

      send(data, ...words) {
        const message = syncMessage(data)
        if (message !== null) {
          this.#complete ||= message.kind === STEP2
          this.#sent.push({ body: message.body, edits: this.#complete ? ledger.written : 0 })
        }
        super.send(data, ...words)
      }

      #heard(data) {
        const message = syncMessage(data)
        if (message?.kind !== UPDATE || this.#sent.length === 0) return
        if (Buffer.compare(message.body, this.#sent[0].body) === 0) ledger.acknowledge(this.#sent.shift().edits)
      }
    }
  }
}

/** A Step2 or an Update: which of them, and the update that it carries. Anything else is null. */
export function syncMessage(data) {
  const decoder = decoding.createDecoder(new Uint8Array(data))
  if (decoding.readVarUint(decoder) !== SYNC) return null
  const kind = decoding.readVarUint(decoder)
  return kind === STEP2 || kind === UPDATE ? { kind, body: decoding.readVarUint8Array(decoder) } : null
}
