// Sessions in real editors (see e2e/data/README.md), sent by two clients.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { application, deletions, keptDeletions, structure, vector } from '../differential/compare.mjs'
import { keeping, quiet } from '../differential/documents.mjs'
import { loadRecording, recordings } from '../lib/recording.mjs'
import { eventually, gatewayOfFile } from './gateway.mjs'
import { join } from './people.mjs'

const gateway = gatewayOfFile('--keep-deleted', 'kept *')

/** The clocks that somebody must have who sends this: `[client, clock]`, what is before it. */
function needs(update) {
  const { structs, ds } = Y.decodeUpdate(update)
  const brought = new Map()
  for (const { id } of structs) if (!brought.has(id.client)) brought.set(id.client, id.clock)
  const clocks = [...brought]
  const refer = (client, clock) => {
    if (clock < (brought.get(client) ?? Infinity)) clocks.push([client, clock + 1])
  }
  for (const { origin, rightOrigin, parent } of structs) {
    for (const id of [origin, rightOrigin, parent]) if (id instanceof Y.ID) refer(id.client, id.clock)
  }
  for (const [client, ranges] of ds.clients) for (const { clock, len } of ranges) refer(client, clock + len - 1)
  return clocks
}

function view(doc) {
  const views = { vector, deletions, structure, application, ...(doc.gc ? {} : { keptDeletions }) }
  return Object.fromEntries(Object.entries(views).map(([name, look]) => [name, look(doc)]))
}

async function expectAllSee(people, truth, when) {
  const [first, ...others] = people.map(({ doc }) => doc)
  // Whoever reads formatted text may delete marks that have no effect any more, and the others then lack them too.
  const same = () => others.every((doc) => deletions(doc) === deletions(first))
  const all = () => people.every(({ doc }) => vector(doc) === vector(truth)) && same()
  await eventually(`everybody has everything ${when}`, all)
  for (const doc of others) assert.deepEqual(view(doc), view(first), when)
  assert.equal(application(first), application(truth), when)
}

for (const name of recordings()) {
  const { updates, gc } = loadRecording(name)
  test(`${name} is the same for its people, for who comes late, and from the database`, async () => {
    const come = () => join(gateway, `${gc ? 'session' : 'kept'} ${name}`, { doc: new Y.Doc({ gc }) })
    const people = [await come(), await come()]
    for (const [index, { person, update }] of updates.entries()) {
      if (index === updates.length >> 1) people.push(await come())
      const client = people[person % 2]
      const needed = needs(update)
      const ready = () => needed.every(([other, clock]) => Y.getState(client.doc.store, other) >= clock)
      if (!ready()) await client.sees(`what update ${index} refers to`, () => ready() || client.closes.length > 0)
      assert.deepEqual(client.closes, [], `the connection was closed with these codes before update ${index}`)
      Y.applyUpdate(client.doc, update)
    }
    const truth = (gc ? quiet : keeping)(...updates.map(({ update }) => update))
    await expectAllSee([...people, await come()], truth, 'at the end')
    for (const { closes } of people) assert.deepEqual(closes, [], 'a connection was closed with these codes')
    gateway.empty()
    await gateway.quiet()
    await expectAllSee([await come()], truth, 'from the database')
  })
}
