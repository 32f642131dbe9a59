// People with one document each, a server between them as y-websocket has one, lags, and phases without a connection.

import * as Y from 'yjs'
import { attempt } from './attempt.mjs'
import { pass } from './fixed.mjs'

/** What y-websocket's provider is to a document: what came from the server is not sent to it. */
const REMOTE = 'provider'

class Person {
  online = true
  /** What the server passed on and this person has not yet read. */
  inbox = []

  constructor(room, number, clientID, gc) {
    this.doc = new Y.Doc({ gc })
    this.doc.clientID = clientID
    this.doc.on('update', (update, origin) => {
      if (origin !== REMOTE && this.online) room.receive(number, 'edit', update)
    })
  }

  /** What the editor does in answer may fail like `attempt` says: the document has the update then. */
  read(update) {
    attempt(() => Y.applyUpdate(this.doc, update, REMOTE))
  }

  readInbox(count) {
    for (const update of this.inbox.splice(0, count)) this.read(update)
  }
}

export class Room {
  /** What the server was sent, see lib/recording.mjs. */
  updates = []
  #server
  #random

  constructor(random, { people, gc }) {
    this.#random = random
    this.#server = new Y.Doc({ gc })
    this.people = Array.from({ length: people }, (_, number) => new Person(this, number, random.bits(), gc))
  }

  /** Called by a person's document. */
  receive(number, how, update) {
    this.updates.push({ person: number, how, update })
    Y.applyUpdate(this.#server, update)
    if (this.#server.store.pendingStructs !== null) throw new Error('an update refers to what nobody has sent')
    this.people.forEach((person, other) => {
      if (other !== number && person.online) person.inbox.push(update)
    })
  }

  /**
   * Somebody loses the connection, comes back, or reads. `settle` lets an editor do what it does after an event of its
   * own or of others.
   */
  async goOn(settle) {
    pass(this.#random.pick([30, 80, 200, 900]))
    const number = this.#random.below(this.people.length)
    const person = this.people[number]
    if (!person.online && this.#random.chance(0.1)) await this.#comeBack(number, settle)
    else if (person.online && this.#random.chance(0.015)) this.#lose(person)
    else person.readInbox(this.#random.between(1, 10))
    await settle()
  }

  /** Everybody is back and has read everything, also what reading it made others write. */
  async end(settle) {
    for (const [number, person] of this.people.entries()) if (!person.online) await this.#comeBack(number, settle)
    while (this.people.some(({ inbox }) => inbox.length > 0)) {
      for (const person of this.people) {
        person.readInbox(Infinity)
        await settle()
      }
    }
    const texts = this.people.map(({ doc }) => JSON.stringify(Y.encodeStateVector(doc)))
    if (new Set(texts).size > 1) throw new Error('somebody has something that the server was not sent')
  }

  #lose(person) {
    person.online = false
    person.inbox.length = 0
  }

  /** As the sync protocol does: each side tells what the other does not have. */
  async #comeBack(number, settle) {
    const { doc } = this.people[number]
    const missing = Y.encodeStateAsUpdate(doc, Y.encodeStateVector(this.#server))
    const news = Y.encodeStateAsUpdate(this.#server, Y.encodeStateVector(doc))
    this.people[number].online = true
    this.receive(number, 'back', missing)
    this.people[number].read(news)
    await settle()
  }
}
