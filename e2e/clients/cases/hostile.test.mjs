import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { edit } from '../lib/messages.mjs'
import { chain, conflict, nest, shapes } from '../lib/shapes.mjs'
import { by, embed, string, update } from '../lib/updates.mjs'
import { eventually, gatewayOf } from './gateway.mjs'
import { Probe } from './probe.mjs'
import { Raw } from './raw.mjs'

/** Milliseconds that an attack may cost somebody in another document. What these cases were made for takes seconds. */
const BOUND = 1000

const HONEST = 'honest text'

/** Somebody honest who has written into the document, and the Yjs document that they write with. */
async function author(gateway, document) {
  const doc = new Y.Doc()
  doc.clientID = 1000
  doc.getText('t').insert(0, HONEST)
  const raw = await Raw.open(gateway, document)
  assert.equal(await raw.put(Y.encodeStateAsUpdate(doc)), 'acknowledged')
  return { doc, raw }
}

async function reader(gateway, document) {
  const raw = await Raw.open(gateway, document, new Y.Doc())
  await raw.sync()
  return raw
}

function content({ doc }) {
  return JSON.stringify([...['t', 'a', 'b'].map((name) => doc.getText(name)), doc.getMap('m')])
}

function assertReads(who, { doc, errors, closed }, text) {
  assert.deepEqual(errors, [], `Yjs throws at what ${who} is sent`)
  assert.equal(closed, null, `${who} is sent away`)
  const here = doc.getText('t').toString()
  assert.ok(here.includes(text), `${who} sees ${JSON.stringify(here)}`)
}

async function harmsNobody(gateway, document, attack) {
  const { doc, raw: writer } = await author(gateway, document)
  const peer = await reader(gateway, document)
  const attacker = await Raw.open(gateway, document)
  try {
    attacker.send(edit(attack))
    await attacker.sync()

    const before = Y.encodeStateVector(doc)
    doc.getText('t').insert(0, '+')
    assert.equal(await writer.put(Y.encodeStateAsUpdate(doc, before)), 'acknowledged')
    const joined = await reader(gateway, document)
    assertReads('a live peer', peer, HONEST)
    assertReads('a joiner', joined, `+${HONEST}`)
    const equal = () => content(peer) === content(joined)
    const both = () => ({ peer: content(peer), joiner: content(joined) })
    await peer.until('a live peer sees what a joiner sees', equal, 3, both)
  } finally {
    gateway.empty()
  }
  await gateway.quiet()
  const late = await reader(gateway, document)
  late.end()
  assertReads('a joiner after everybody has left', late, `+${HONEST}`)
  await gateway.assertRuns()
}

test('an update that means nothing harms nobody else in its document', async (t) => {
  const gateway = await gatewayOf(t)
  for (const [name, shape] of Object.entries(shapes(7))) {
    await t.test(name, () => harmsNobody(gateway, name, shape))
  }
})

test('the deletion of 20,000 types within each other harms nobody else', async (t) => {
  await harmsNobody(await gatewayOf(t), 'nest', nest(20_000))
})

test('no depth of types ends a gateway, nor its sweep after kill -9', async (t) => {
  const gateway = await gatewayOf(t, '--checkpoint-after', '60s')
  const { raw } = await author(gateway, 'nest')
  // With somebody in it, the document is not written before the gateway is killed.
  const stays = await reader(gateway, 'nest')
  await raw.put(nest(20_000))
  assert.equal(stays.closed, null)
  await gateway.kill()
  await gateway.run('--sweep-every', '200ms', '--checkpoint-after', '100ms')
  await eventually('the sweep finds the document', async () => (await gateway.metric('swept_total')) > 0)
  await gateway.quiet()
  const late = await Raw.open(gateway, 'nest')
  await late.sync()
  assert.equal(late.closed, null)
})

/** The attack, and the answer to somebody who joins then, cost nobody in another document much. */
async function costsOthersLittle(t, attack) {
  const gateway = await gatewayOf(t, '--shards', '1')
  const probe = await Probe.start(gateway)
  const attacker = await Raw.open(gateway, 'attacked')
  await attack(attacker)
  const joiner = await Raw.open(gateway, 'attacked')
  await joiner.sync(undefined, 30)
  attacker.end()
  joiner.end()
  await gateway.quiet(1, 30)
  await probe.stop()
  await gateway.assertRuns()
  assert.ok(probe.worst < BOUND, `an edit of another document took ${probe.worst} ms`)
}

test('50,000 clients that wait for each other cost others little', (t) =>
  costsOthersLittle(t, (attacker) => attacker.put(chain(50_000), 30)))

test('4,000 values that compete for one key cost others little', (t) =>
  costsOthersLittle(t, (attacker) => attacker.put(conflict(4000, { parent: 'm', key: 'k' }), 30)))

test('4,000 embeds that compete for one place cost others little', (t) =>
  costsOthersLittle(t, (attacker) => attacker.put(conflict(4000, { parent: 't' }), 30)))

test('updates that do not apply to a large document cost others little', (t) =>
  costsOthersLittle(t, async (attacker) => {
    const length = 50_000
    const structs = Array.from({ length }, (_, i) => embed(i === 0 ? { parent: 't' } : { origin: [5, i - 1] }, 1))
    await attacker.put(by(5, ...structs), 30)
    await attacker.put(by(7, string({ parent: 'x' }, 'a')))
    const small = Array.from({ length: 250 }, (_, clock) => {
      const place = clock === 0 ? { parent: 'y' } : { origin: [8, clock - 1] }
      return update([{ client: 8, clock, structs: [string(place, 'a')] }])
    })
    // The last one has a string for a parent.
    attacker.send(...small.map(edit), edit(by(9, string({ parent: [7, 0] }, 'b'))))
    await attacker.sync(new Uint8Array([1, 1, 1]), 60)
  }))

test('what is acknowledged beside what does not apply survives kill -9', async (t) => {
  const gateway = await gatewayOf(t, '--shards', '1', '--checkpoint-after', '60s')
  const doc = new Y.Doc()
  const edits = []
  doc.on('update', (made) => edits.push(made))
  for (let i = 0; i < 100; i += 1) doc.getText('t').insert(i, String(i % 10))
  const writer = await Raw.open(gateway, 'shared')
  const attacker = await Raw.open(gateway, 'shared')
  await attacker.put(by(7, string({ parent: 'x' }, 'a')))
  edits.forEach((made, i) => {
    attacker.send(edit(by(100 + i, string({ parent: [7, 0] }, 'b'))))
    writer.send(edit(made))
  })
  await writer.until('all edits are acknowledged', () => edits.every((made) => writer.has(made)))
  await gateway.kill()
  await gateway.run()
  const late = await reader(gateway, 'shared')
  assertReads('a joiner after the restart', late, doc.getText('t').toString())
})
