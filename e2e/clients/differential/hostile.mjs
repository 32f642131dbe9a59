// Cases in which somebody sends what no editor makes, into a document in which others have written.

import * as Y from 'yjs'
import { HONEST } from './attacks.mjs'
import { crafted } from './crafted.mjs'
import { quiet } from './documents.mjs'
import { Session } from './editors.mjs'
import { mutate } from './mutate.mjs'
import { OP } from './pipe.mjs'
import { readUpdate, writeUpdate } from './wire.mjs'

const ATTACKS_A_CASE = 60

export function hostileCase(random) {
  const session = new Session(random, { editors: 3 })
  session.work(random.between(10, 60))
  const honest = quiet(session.state)
  honest.clientID = HONEST.client
  honest.getText(HONEST.root).insert(0, HONEST.text)
  const row = Y.encodeStateAsUpdate(honest)
  // What follows is news to the row; changed a little it is an attack that is almost right.
  const from = session.sent.length
  session.work(random.between(10, 30))
  const donors = session.sent.slice(from)
  donors.push(Y.mergeUpdates(donors.length > 0 ? donors : [row]), renamed(random, row), row)
  const known = ids(row)

  const steps = [['row', row]]
  for (let count = 0; count < ATTACKS_A_CASE; count += 1) {
    if (random.chance(0.4)) steps.push(...followUp(random, row, count), ['row', row])
    const update = random.chance(0.15) ? crafted(random) : mutate(random, random.pick(donors), known)
    if (random.chance(0.05)) steps.push(...endured(random, update), ['row', row])
    else steps.push(['attack', update])
  }
  return steps
}

/** Somebody who has only seen the row goes on writing: whatever was sent before, this is taken. */
function followUp(random, row, count) {
  if (random.chance(0.7)) return []
  const doc = quiet(row)
  // An id that no attack has taken: whoever writes under another's id silences that one in every Yjs.
  doc.clientID = 2 ** 50 + count
  let update
  doc.once('update', (made) => {
    update = made
  })
  doc.getText(HONEST.root).insert(random.below(HONEST.text.length), 'and more')
  return [['admit', update]]
}

/** The other requests meet the same bytes. They trust their source, so all that is asked is an answer. */
function endured(random, update) {
  const pair = Buffer.alloc(4)
  pair.writeUInt32LE(random.chance(0.9) ? update.length : random.bits())
  const requests = [
    [OP.take, update],
    [OP.load, update],
    [OP.merge, Buffer.concat([pair, update])],
    [OP.diff, update.slice(0, random.below(40))],
  ]
  return [
    ['endure', ...random.pick(requests)],
    ['endure', OP.encode, new Uint8Array()],
  ]
}

/** The same document as if others had written it: all of it is news. */
function renamed(random, update) {
  const names = new Map()
  const rename = (client) => {
    if (!names.has(client)) names.set(client, random.bits())
    return names.get(client)
  }
  const ofId = (id) => (Array.isArray(id) ? [rename(id[0]), id[1]] : id)
  const model = readUpdate(update)
  for (const section of model.clients) {
    section.client = rename(section.client)
    for (const struct of section.structs) {
      if (struct.values === undefined) continue
      Object.assign(struct, { origin: ofId(struct.origin), right: ofId(struct.right), parent: ofId(struct.parent) })
    }
  }
  for (const one of model.deletes) one.client = rename(one.client)
  model.clients.sort((a, b) => b.client - a.client)
  return writeUpdate(model)
}

/** The first id of every struct of an update. */
function ids(update) {
  return readUpdate(update).clients.flatMap(({ client, clock, structs }) => {
    let at = clock
    return structs.map(({ length }) => {
      at += length
      return [client, at - length]
    })
  })
}
