import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { step1, step2 } from '../lib/messages.mjs'
import { gatewayOf } from './gateway.mjs'
import { join, read } from './people.mjs'
import { Probe } from './probe.mjs'
import { Raw } from './raw.mjs'

/** Milliseconds that what happens to a large document may cost somebody in another one on the same shard. */
const BOUND = 500

/** Numbers that look like chance and are the same in each run. */
function chance() {
  let state = 7
  return (limit) => {
    state = (state * 1103515245 + 12345) % 0x80000000
    return Math.floor((state / 0x80000000) * limit)
  }
}

/** About `pieces` times 20 bytes, by twelve people who have all written everywhere. */
function large(pieces) {
  const doc = new Y.Doc()
  const text = doc.getText('t')
  const below = chance()
  for (let author = 1; author <= 12; author += 1) {
    doc.clientID = author
    doc.transact(() => {
      for (let i = 0; i < pieces / 12; i += 1) text.insert(below(text.length + 1), 'word ')
    })
  }
  return doc
}

test('20 people who come back to a large document keep nobody else waiting', async (t) => {
  const doc = large(60_000)
  const state = Y.encodeStateAsUpdate(doc)
  assert.ok(state.length > 1e6, `${state.length} bytes`)
  const vector = Y.encodeStateVector(doc)
  const gateway = await gatewayOf(t, '--shards', '1')
  const author = await Raw.open(gateway, 'large')
  assert.equal(await author.put(state), 'acknowledged')
  await author.sync(vector)
  const probe = await Probe.start(gateway)
  const people = await Promise.all(Array.from({ length: 20 }, () => Raw.open(gateway, 'large')))
  for (const person of people) person.send(step1(vector))
  await Promise.all(people.map((person) => person.until('an answer', () => person.answers.length > 0, 60)))
  await probe.stop()
  assert.ok(probe.worst < BOUND, `an edit of another document took ${probe.worst} ms`)
})

test('weeks of work offline are merged, and keep nobody else waiting', async (t) => {
  const gateway = await gatewayOf(t, '--shards', '1')
  const here = await join(gateway, 'shared')
  const text = here.doc.getText('t')
  text.insert(0, 'base '.repeat(2000))
  const away = new Y.Doc()
  Y.applyUpdate(away, Y.encodeStateAsUpdate(here.doc))
  const below = chance()
  const own = away.getText('t')
  away.transact(() => {
    for (let i = 0; i < 8000; i += 1) {
      if (i % 5 === 4) own.delete(below(own.length), 1)
      else own.insert(below(own.length + 1), String.fromCharCode(97 + (i % 26)))
    }
  })
  for (let i = 0; i < 200; i += 1) text.insert(below(text.length), 'N')
  const probe = await Probe.start(gateway)
  const traveller = await Raw.open(gateway, 'shared')
  const work = Y.encodeStateAsUpdate(away)
  traveller.send(step2(work))
  await traveller.until('an acknowledgement', () => traveller.has(work), 30)
  await traveller.sync(undefined, 30)
  await probe.stop()
  assert.ok(probe.worst < BOUND, `an edit of another document took ${probe.worst} ms`)

  Y.applyUpdate(away, Y.encodeStateAsUpdate(here.doc))
  const all = () => text.length === own.length && text.toString() === own.toString()
  await here.sees('the work of both', all, 30)
  here.leave()
  traveller.end()
  await gateway.quiet()
  assert.ok((await read(gateway, 'shared')).getText('t').toString() === own.toString(), 'a later reader lacks some')
})

test('a large document comes in parts that apply one after the other', async (t) => {
  const written = large(120_000)
  const gateway = await gatewayOf(t)
  const author = await Raw.open(gateway, 'large')
  assert.equal(await author.put(Y.encodeStateAsUpdate(written)), 'acknowledged')
  const doc = new Y.Doc()
  const waits = []
  doc.on('update', () => waits.push(doc.store.pendingStructs !== null))
  const reader = await Raw.open(gateway, 'large', doc)
  await reader.sync()
  assert.deepEqual(reader.errors, [])
  // The Step2 is the last part, so whoever has it has everything.
  assert.equal(doc.getText('t').toString(), written.getText('t').toString())
  assert.ok(reader.updates.length > 3, `${reader.updates.length} parts before the Step2`)
  const longest = Math.max(...[...reader.updates, ...reader.answers].map((part) => part.length))
  assert.ok(longest < 600_000, `a part of ${longest} bytes`)
  assert.ok(!waits.includes(true), 'a part refers to what comes later')
})
