// Real y-websocket clients on a gateway of the cases.

import { randomUUID } from 'node:crypto'
import assert from 'node:assert/strict'
import * as Y from 'yjs'
import { Connection } from '../lib/connection.mjs'
import { Deadline } from '../lib/deadline.mjs'

// Each provider listens to the end of the process, and some cases have a hundred of them.
process.setMaxListeners(0)

export class Person extends Connection {
  #gateway
  /** The codes with which the server, or the network, closed this person's connections. */
  closes = []

  constructor(gateway, document, options) {
    const hear = (event, { code } = {}) => {
      // Without a code it was this side that closed.
      if (event === 'closed' && code !== null) this.closes.push(code)
    }
    super(gateway.url, document, hear, { maxBackoffTime: 500, ...options })
    this.#gateway = gateway
    gateway.clients.set(this, () => this.leave())
  }

  leave() {
    this.#gateway.clients.delete(this)
    super.leave()
  }

  /** Waits until this person's document is as it should be. */
  sees(what, condition, seconds = 10) {
    return new Deadline(seconds).poll(what, condition, 5, () => ({ document: this.doc.toJSON() }))
  }
}

/** Somebody who has the document open. */
export async function join(gateway, document, options) {
  const person = new Person(gateway, document, options)
  await person.ready(new Deadline(10))
  return person
}

/** The document as a new reader gets it. */
export async function read(gateway, document) {
  const reader = await join(gateway, document)
  reader.leave()
  return reader.doc
}

function content(doc) {
  const [text, xml] = [doc.getText('t').toDelta(), doc.getXmlFragment('x').toString()]
  return { text, xml, map: doc.getMap('m').toJSON(), array: doc.getArray('a').toJSON() }
}

/** The document as it is read again after somebody has written it, somebody else has seen it, and both have left. */
export async function kept(gateway, document, write) {
  const [writer, witness] = [await join(gateway, document), await join(gateway, document)]
  try {
    write(writer.doc)
    // Of its own for each visit: an earlier visit's mark would be there before what is written now.
    const mark = randomUUID()
    writer.doc.getMap('m').set('later', mark)
    const arrived = () => witness.doc.getMap('m').get('later') === mark
    await witness.sees('what is written behind it', () => arrived() || writer.closes.length > 0)
    assert.deepEqual(writer.closes, [], "the writer's connection was closed with these codes")
  } finally {
    writer.leave()
    witness.leave()
  }
  await gateway.quiet()
  const doc = await read(gateway, document)
  assert.deepEqual(content(doc), content(witness.doc), 'a later reader gets something else than was seen')
  return doc
}
