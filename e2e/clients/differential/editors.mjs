// Editors at random work through a server: they write, lag, lose connection, come back, undo, tell each other directly.

import * as Y from 'yjs'
import { forget, quiet, waits } from './documents.mjs'
import { edit, open, typeOn } from './edits.mjs'
import { legacy } from './legacy.mjs'

/** Marks what came from others, which an editor does not send. */
const REMOTE = 'remote'
/** How often all may tell each other everything until nobody has news: formatting that is cleaned up is news again. */
const ROUNDS_TO_SETTLE = 8

class Editor {
  /** What this one has written and the server was not yet sent. */
  outbox = []
  /** What the server passed on and this one has not yet read. */
  inbox = []
  online = true
  #cursor = null

  constructor(random, number) {
    this.doc = new Y.Doc({ gc: !random.chance(0.2) })
    // Yjs draws 32 bits; small ids meet other lengths in the encoding, 53 bits are the most that its format can hold.
    this.doc.clientID = random.pick([() => random.bits(), () => number + 1, () => random.bits() * 2 ** 21 + number])()
    // An editor with a Yjs of long ago, which wrote values as JSON.
    this.old = random.chance(0.1)
    const roots = open(this.doc)
    this.undo = new Y.UndoManager(random.shuffled(roots), { captureTimeout: 0, doc: this.doc })
    this.doc.on('update', (update, origin) => {
      if (origin !== REMOTE) this.outbox.push(this.old ? legacy(update) : update)
    })
  }

  read(updates) {
    for (const update of updates) Y.applyUpdate(this.doc, update, REMOTE)
  }

  write(random, focus) {
    // Where all meet in one list they mostly type: what they type then mixes.
    const way = random.weighed({ undo: 1, type: ['text', 'array'].includes(focus) ? 20 : 5, edit: 7 })
    if (way === 'undo') this.undo[random.chance(0.6) ? 'undo' : 'redo']()
    else if (way === 'type') this.#type(random, focus)
    else this.doc.transact(() => Array.from({ length: random.between(1, 3) }, () => edit(this.doc, random, focus)))
  }

  /** Often goes on where it was, behind its own words and before what others have written there since. */
  #type(random, focus) {
    const cursor = random.chance(0.8) ? this.#cursor : null
    this.#cursor = typeOn(this.doc, random, focus, cursor, () => {
      if (random.chance(0.3)) this.read(this.inbox.splice(0, 3))
    })
  }
}

/**
 * A session. `sent` receives each update in the order in which it reaches the server; `remembered` receives states that
 * somebody had in between, as whole updates.
 */
export class Session {
  sent = []
  remembered = []
  #server = quiet()

  constructor(random, { editors = random.between(3, 5), offline = true } = {}) {
    this.random = random
    this.offline = offline
    this.focus = random.pick([null, null, 'text', 'text', 'text', 'array', 'map', 'xml'])
    this.editors = Array.from({ length: editors }, (_, number) => new Editor(random, number))
  }

  /** The state of the server as Yjs writes it. */
  get state() {
    return Y.encodeStateAsUpdate(this.#server)
  }

  work(actions) {
    const { random } = this
    for (let action = 0; action < actions; action += 1) {
      const editor = random.pick(this.editors)
      const kinds = { write: 6, send: 6, read: 6, remember: 1, whisper: 1, leave: this.offline ? 1 : 0 }
      this[editor.online ? random.weighed(kinds) : random.weighed({ write: 4, join: 1 })](editor)
    }
  }

  /** Everybody comes back and hears everything. */
  settle() {
    for (let round = 0; round < ROUNDS_TO_SETTLE; round += 1) {
      const before = this.state
      for (const editor of this.editors) this.join(editor)
      for (const editor of this.editors) editor.read(editor.inbox.splice(0))
      if (Buffer.compare(before, this.state) === 0 && this.editors.every(({ outbox }) => outbox.length === 0)) return
    }
  }

  write(editor) {
    editor.write(this.random, this.focus)
  }

  send(editor) {
    for (const update of editor.outbox.splice(0, this.random.between(1, 20))) this.#receive(editor, update)
  }

  /** In order, in disorder, or with a loss that only a later reconnect makes good. */
  read(editor) {
    const { random } = this
    const updates = editor.inbox.splice(0, random.between(1, 30))
    const way = random.below(10)
    if (way === 0) updates.splice(random.below(updates.length), 1)
    editor.read(way < 3 ? random.shuffled(updates) : updates)
  }

  /** What the server has, or somebody who may lack some of it and have more. */
  remember({ doc }) {
    if (this.random.chance(0.5)) this.remembered.push(this.state)
    else if (!waits(doc)) this.remembered.push(Y.encodeStateAsUpdate(doc))
  }

  /** Tells another editor directly, so that it may build upon what the server does not know. */
  whisper({ doc, outbox }) {
    const other = this.random.pick(this.editors)
    if (other.doc === doc) return
    if (this.random.chance(0.5)) other.read(outbox.slice(this.random.below(3)))
    else other.read([Y.encodeStateAsUpdate(doc, Y.encodeStateVector(other.doc))])
  }

  leave(editor) {
    editor.online = false
    editor.inbox.length = 0
  }

  /** The two steps of the sync protocol, in both directions. */
  join(editor) {
    editor.inbox.length = 0
    editor.outbox.length = 0
    editor.online = true
    editor.read([Y.encodeStateAsUpdate(this.#server, Y.encodeStateVector(editor.doc))])
    // The Step2 carries what the outbox held, and what reading has just added to the outbox.
    editor.outbox.length = 0
    this.#receive(editor, Y.encodeStateAsUpdate(editor.doc, Y.encodeStateVector(this.#server)))
  }

  #receive(from, update) {
    this.sent.push(update)
    Y.applyUpdate(this.#server, update)
    // A server keeps nothing that builds upon what it does not know: the sender tells all of it when it comes back.
    forget(this.#server)
    for (const editor of this.editors) if (editor !== from && editor.online) editor.inbox.push(update)
  }
}
