// Connections that send what no client of Yjs sends.

import { randomBytes } from 'node:crypto'
import WebSocket from 'ws'
import * as Y from 'yjs'

/** More than a gateway takes in one message by default. */
const OVERSIZE = (16 << 20) + 1

/** A message of this many bytes below 2^14 that claims to be an update. */
function update(body, claimed = body.length) {
  return Buffer.concat([Buffer.from([0, 2, (claimed & 0x7f) | 0x80, claimed >> 7]), body])
}

function truncated() {
  const doc = new Y.Doc()
  doc.getText('text').insert(0, 'cut off in the middle of it')
  const whole = Y.encodeStateAsUpdate(doc)
  return whole.subarray(0, Math.floor(whole.length / 2))
}

const MESSAGES = [
  () => randomBytes(16 + Math.floor(Math.random() * 500)).fill(0x7f, 0, 1),
  () => update(randomBytes(16 + Math.floor(Math.random() * 500))),
  () => update(Buffer.from(truncated())),
  () => update(randomBytes(20), 9000),
]

/** Sends `count` bad messages, and one that is too large, each on a connection of its own. How many were closed for it. */
export async function attack(url, document, count, deadline) {
  const messages = Array.from({ length: count }, (_, i) => MESSAGES[i % MESSAGES.length]())
  messages.push(Buffer.alloc(OVERSIZE))
  const ends = messages.map((message) => sent(`${url}/${encodeURIComponent(document)}`, message, deadline))
  const closed = (await Promise.all(ends)).filter(Boolean).length
  return { attacks: messages.length, closed }
}

/** Whether the server closed the connection. */
async function sent(url, message, deadline) {
  const socket = new WebSocket(url)
  let closed = false
  socket.on('open', () => socket.send(message))
  // A server that has refused a message's header may end the connection while the rest is still on its way.
  socket.on('error', () => {})
  socket.on('close', () => {
    closed = true
  })
  try {
    await deadline.poll(`the end of the connection with a bad message`, () => closed, 20)
  } catch {
    socket.terminate()
    return false
  }
  return true
}
