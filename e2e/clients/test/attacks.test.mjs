import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { readUpdate } from '../differential/wire.mjs'
import { ATTACKS, HOSTILE, Ids } from '../lib/attacks.mjs'
import { syncMessage } from '../lib/ledger.mjs'
import { Random } from '../lib/random.mjs'

/** A document in which somebody honest has written and deleted. */
function honest() {
  const doc = new Y.Doc()
  doc.clientID = 1000
  doc.getText('text').insert(0, 'what somebody honest has written')
  doc.getText('text').delete(5, 4)
  return doc
}

/** `count` attacks of each kind. */
function attacks(seed, number, count, doc = honest()) {
  const all = Y.encodeStateAsUpdate(doc)
  const own = { random: new Random(seed, number), ids: new Ids(number), scale: 1, doc, stale: all, heard: [all] }
  return Object.entries(ATTACKS).flatMap(([name, attack]) =>
    Array.from({ length: count }, () => attack(own)).flatMap((messages) =>
      messages.map((message) => ({ name, message })),
    ),
  )
}

/** What of these attacks is an update. */
function updates(list) {
  return list.flatMap(({ name, message }) => {
    try {
      return [{ name, ...readUpdate(syncMessage(message).body) }]
    } catch {
      return []
    }
  })
}

test('a seed determines the attacks of each attacker', () => {
  const text = (...words) => JSON.stringify(attacks(...words).map(({ message }) => [...message]))
  assert.equal(text(7, 1, 2), text(7, 1, 2))
  assert.notEqual(text(7, 1, 2), text(8, 1, 2))
  assert.notEqual(text(7, 1, 2), text(7, 2, 2))
})

test('no attack writes or deletes as an editor of an honest client might', () => {
  const doc = honest()
  const known = new Set(readUpdate(Y.encodeStateAsUpdate(doc)).clients.flatMap(({ structs }) => structs.map(text)))
  const gone = text(readUpdate(Y.encodeStateAsUpdate(doc)).deletes)
  let checked = 0
  for (const { name, clients, deletes } of updates(attacks(7, 1, 10, doc))) {
    for (const { client, structs } of clients.filter(({ client }) => client < HOSTILE)) {
      assert.ok(structs.map(text).every((struct) => known.has(struct)), `${name} writes as client ${client}`)
    }
    const deleted = deletes.filter(({ client }) => client < HOSTILE)
    if (deleted.length > 0) assert.equal(text(deleted), gone, `${name} deletes`)
    checked += 1
  }
  assert.ok(checked > 150, `${checked} updates`)
})

test('no two attacks write different things under one id and clock', () => {
  const written = new Map()
  const list = [0, 1].flatMap((number) => attacks(7, number, 8))
  // Every server refuses these.
  const refused = ({ client, structs }) => client === 2 ** 53 - 2 || structs.some(({ length }) => length === 0)
  for (const { name, clients } of updates(list).filter(({ clients }) => !clients.some(refused))) {
    for (const { client, clock, structs } of clients) {
      let at = clock
      for (const struct of structs) {
        const id = `${client} ${at}`
        const before = written.get(id)
        if (before !== undefined) assert.equal(text(struct), before, `${name}, ${id}`)
        written.set(id, text(struct))
        at += struct.length
      }
    }
  }
  assert.ok(written.size > 10_000, `${written.size} structs`)
})

function text(value) {
  return JSON.stringify(value)
}
