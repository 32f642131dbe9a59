import assert from 'node:assert/strict'
import { once } from 'node:events'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import * as Y from 'yjs'
import { Words } from '../lib/author.mjs'
import { Ledger, syncMessage } from '../lib/ledger.mjs'

/** A Sync message as y-protocols writes it, for bodies below 128 bytes. */
function message(kind, body) {
  return Buffer.from([0, kind, body.length, ...body])
}

test('an edit is acknowledged by its own bytes in order, and not before the Step2 that brings what it builds upon', async () => {
  const server = new WebSocketServer({ port: 0 })
  const came = []
  server.on('connection', (socket) => socket.on('message', (data) => came.push({ socket, data })))
  const doc = new Y.Doc()
  const ledger = new Ledger(doc)
  const updates = []
  doc.on('update', (update) => updates.push(update))
  const words = new Words('w')
  words.edit(doc, ledger)

  const Socket = ledger.socket()
  const socket = new Socket(`ws://127.0.0.1:${server.address().port}`)
  await once(socket, 'open')
  words.edit(doc, ledger)
  socket.send(message(2, updates[1]))
  socket.send(message(1, Y.encodeStateAsUpdate(doc)))
  words.edit(doc, ledger)
  socket.send(message(2, updates[2]))
  while (came.length < 3) await new Promise((resolve) => setImmediate(resolve))

  const echo = async (index) => {
    came[0].socket.send(message(2, syncMessage(came[index].data).body))
    await once(socket, 'message')
    return ledger.acknowledged
  }
  assert.deepEqual([await echo(2), await echo(0), await echo(1), await echo(1), await echo(2)], [0, 0, 2, 2, 3])
  socket.terminate()
  server.close()
})

test('an acknowledged insertion or deletion that a document lacks is lost', () => {
  const doc = new Y.Doc()
  const ledger = new Ledger(doc)
  const words = new Words('w')
  for (let i = 0; i < 3; i += 1) words.edit(doc, ledger)
  const beforeDeletion = new Y.Doc()
  Y.applyUpdate(beforeDeletion, Y.encodeStateAsUpdate(doc))
  doc.transact(() => doc.getText('text').delete(0, 2), ledger)
  assert.equal(ledger.lost(new Y.Doc()), 0)
  ledger.acknowledge(ledger.written)
  assert.equal(ledger.lost(new Y.Doc()), 4)
  assert.equal(ledger.lost(beforeDeletion), 1)
  assert.equal(ledger.lost(doc), 0)
})
