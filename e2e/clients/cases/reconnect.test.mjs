import assert from 'node:assert/strict'
import { test } from 'node:test'
import WebSocket from 'ws'
import * as Y from 'yjs'
import { Deadline } from '../lib/deadline.mjs'
import { Ledger, syncMessage } from '../lib/ledger.mjs'
import { eventually, gatewayOfFile } from './gateway.mjs'
import { join, read } from './people.mjs'
import { Raw } from './raw.mjs'

const gateway = gatewayOfFile('--api', 'admin')

/** The first bytes of a message, and what `syncMessage` says of another. */
const STEP1 = [0, 0]
const STEP2 = 1

/** A class of WebSockets that count, all of them together. */
function counted() {
  return class extends WebSocket {
    /** Questions out, and messages out that bring edits; answers in, and bytes in. */
    static asked = 0
    static brought = 0
    static answered = 0
    static received = 0

    constructor(...words) {
      super(...words)
      this.on('message', (data) => {
        this.constructor.received += data.byteLength
        if (syncMessage(data)?.kind === STEP2) this.constructor.answered += 1
      })
    }

    send(data, ...words) {
      if (STEP1.every((byte, index) => data[index] === byte)) this.constructor.asked += 1
      if (syncMessage(data) !== null) this.constructor.brought += 1
      super.send(data, ...words)
    }
  }
}

test('a reconnect that brings nothing new is not passed on to others', async (t) => {
  const doc = new Y.Doc()
  const text = doc.getText('t')
  const gaps = 4000
  doc.transact(() => text.insert(0, 'abcd'.repeat(gaps)))
  doc.transact(() => {
    for (let i = 0; i < gaps; i += 1) text.delete(i * 2, 2)
  })
  const Socket = counted()
  const person = await join(gateway, t.name, { doc, Socket })
  const watcher = await Raw.open(gateway, t.name, new Y.Doc())
  await watcher.sync()
  await watcher.until('the watcher has the text', () => watcher.doc.getText('t').length === text.length)
  // y-websocket's Step2 always holds the deletions of the whole document.
  const deletions = Y.encodeStateAsUpdate(doc, Y.encodeStateVector(doc)).length
  const before = watcher.received
  for (let i = 0; i < 10; i += 1) {
    const told = Socket.brought
    await person.again(new Deadline(10))
    await eventually('the Step2 is sent', () => Socket.brought > told)
    // By the time that this edit comes, all that was sent before it would have come too.
    doc.getMap('m').set('reconnect', i)
    await watcher.until('the edit', () => watcher.doc.getMap('m').get('reconnect') === i)
  }
  const passedOn = watcher.received - before
  assert.ok(passedOn < deletions, `ten reconnects sent ${passedOn} bytes; the deletions are ${deletions}`)
  person.leave()
  watcher.end()
})

test('to ask again about a document that has not changed costs little', async (t) => {
  // y-websocket asks again only where it finds this class in the global scope, as in a browser.
  globalThis.WebSocket ??= WebSocket
  const doc = new Y.Doc()
  doc.getText('t').insert(0, 'lorem ipsum '.repeat(100_000))
  const writer = await join(gateway, t.name, { doc })
  const Socket = counted()
  const reader = await join(gateway, t.name, { Socket, resyncInterval: 100 })
  const size = Y.encodeStateAsUpdate(doc).length
  await reader.sees('the text', () => reader.doc.getText('t').length === doc.getText('t').length)
  // What was asked before the document was here is answered in full.
  await eventually('all answers', () => Socket.answered >= Socket.asked)
  const { answered, received } = Socket
  await eventually('five answers', () => Socket.answered >= answered + 5)
  const again = Socket.received - received
  assert.ok(again < size / 2, `to ask again cost ${again} bytes; the document has ${size}`)
  reader.leave()
  writer.leave()
})

test('undo reaches back over a reconnect, and not over a restored version', async (t) => {
  const doc = new Y.Doc()
  const ledger = new Ledger(doc)
  const person = await join(gateway, t.name, { doc, Socket: ledger.socket() })
  const text = doc.getText('t')
  const undo = new Y.UndoManager(text, { captureTimeout: 0, trackedOrigins: new Set([ledger]) })
  const edits = async (...all) => {
    for (const edit of all) doc.transact(edit, ledger)
    // Until it is acknowledged, the REST interface does not know it.
    await eventually('the edits are acknowledged', () => ledger.waiting === 0)
  }
  const stored = async () => (await read(gateway, t.name)).getText('t').toString()
  const agrees = () => eventually('a reader sees the same', async () => (await stored()) === text.toString())
  const post = async (path, body) => {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(gateway.api(t.name, path), { method: 'POST', headers, body: JSON.stringify(body) })
    assert.ok(response.ok, `${path}: ${response.status}`)
    return response.json()
  }
  const closes = async () => {
    person.provider.disconnect()
    await gateway.quiet()
  }

  await edits(
    () => text.insert(0, 'one '),
    () => text.insert(4, 'two '),
    () => text.delete(0, 4),
  )
  await closes()
  await person.again(new Deadline(10))
  undo.undo()
  assert.equal(text.toString(), 'one two ')
  await agrees()

  await closes()
  const version = await post('/versions', { name: 'before' })
  await person.again(new Deadline(10))
  await edits(() => text.insert(text.length, 'three'))
  await post(`/versions/${version.id}/restore`)
  await person.sees('the version', () => text.toString() === 'one two ')
  undo.undo()
  assert.ok(!text.toString().includes('three'), text.toString())
  undo.redo()
  await agrees()
  person.leave()
})
