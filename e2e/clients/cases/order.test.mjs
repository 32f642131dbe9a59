import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { edit, query, step1, step2 } from '../lib/messages.mjs'
import { eventually, gatewayOfFile } from './gateway.mjs'
import { read } from './people.mjs'
import { Raw } from './raw.mjs'

const gateway = gatewayOfFile()

function written(text) {
  const doc = new Y.Doc()
  doc.getText('t').insert(0, text)
  return Y.encodeStateAsUpdate(doc)
}

const text = async (document) => (await read(gateway, document)).getText('t').toString()

/** Everything is dealt with, and the connection is still there. */
async function staysIn(raw) {
  await raw.sync()
  assert.equal(raw.closed, null)
}

test('a Step2 may come before any Step1', async (t) => {
  const raw = await Raw.open(gateway, t.name)
  raw.send(step2(written('early')))
  await staysIn(raw)
  assert.equal(await text(t.name), 'early')
  raw.end()
})

test('an update needs no Step1', async (t) => {
  const raw = await Raw.open(gateway, t.name)
  assert.equal(await raw.put(written('only')), 'acknowledged')
  assert.equal(await text(t.name), 'only')
  raw.end()
})

test('one frame may hold several messages, behind a query', async (t) => {
  const raw = await Raw.open(gateway, t.name)
  raw.send(query(), Buffer.concat([step1(), edit(written('many')), query(), step1()]), edit(written('more')))
  await staysIn(raw)
  const read = await text(t.name)
  assert.ok(read.includes('many') && read.includes('more'), read)
  raw.end()
})

test('what is said three times counts once', async (t) => {
  const raw = await Raw.open(gateway, t.name)
  const update = written('twice')
  for (let i = 0; i < 3; i += 1) raw.send(edit(update), step1(), step2(update))
  await staysIn(raw)
  assert.equal(await text(t.name), 'twice')
  raw.end()
})

test('an update is kept although the connection is cut right behind it', async (t) => {
  const raw = await Raw.open(gateway, t.name)
  // Nothing is on its way to this side: what is unread makes a system reset the connection.
  await raw.sync()
  raw.cut(edit(written('last words')))
  await eventually('the update is there', async () => (await text(t.name)) === 'last words')
})
