// Clients with `gc: false`, which make snapshots: those are read from deleted content.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { gatewayOf } from './gateway.mjs'
import { join } from './people.mjs'

const FIRST = 'the first draft, with an 😀'

const keeping = () => new Y.Doc({ gc: false })

/** What a document was at the time of a snapshot; null if it cannot be told any more. */
function shown(doc, snapshot) {
  try {
    return Y.createDocFromSnapshot(doc, Y.decodeSnapshot(snapshot)).getText('t').toString()
  } catch {
    return null
  }
}

/** Somebody writes, makes a snapshot, and replaces what was written. */
async function draft(gateway, document) {
  const author = await join(gateway, document, { doc: keeping() })
  const witness = await join(gateway, document, { doc: keeping() })
  const text = author.doc.getText('t')
  text.insert(0, FIRST)
  const snapshot = Y.encodeSnapshot(Y.snapshot(author.doc))
  // A part of it alone, too, so that what was written as one is cut.
  text.delete(4, 6)
  text.delete(0, text.length)
  text.insert(0, 'the second')
  await witness.sees('the second draft', () => witness.doc.getText('t').toString() === 'the second')
  assert.equal(shown(witness.doc, snapshot), FIRST, 'while its author is there')
  author.leave()
  witness.leave()
  await gateway.quiet()
  return snapshot
}

/** Who comes when everybody has left. */
async function late(gateway, document) {
  const reader = await join(gateway, document, { doc: keeping() })
  assert.equal(reader.doc.getText('t').toString(), 'the second')
  return reader
}

test('a snapshot is legible after everybody has left, where deleted content is kept', async (t) => {
  const gateway = await gatewayOf(t, '--keep-deleted', 'drafts/*', '--keep-deleted', 'novel', '--api', 'admin')
  for (const document of ['drafts/1', 'novel']) {
    const snapshot = await draft(gateway, document)
    const reader = await late(gateway, document)
    assert.equal(shown(reader.doc, snapshot), FIRST)
    // The one who is late writes, so that the document goes to the database once more.
    reader.doc.getText('t').insert(0, 'still ')
    reader.leave()
    await gateway.quiet()
    const exported = new Uint8Array(await (await fetch(gateway.api(document, '/export'))).arrayBuffer())
    const copy = keeping()
    Y.applyUpdate(copy, exported)
    assert.equal(copy.getText('t').toString(), 'still the second')
    assert.equal(shown(copy, snapshot), FIRST, 'in an export')
  }
})

test('deleted content is gone after everybody has left, where it is not kept', async (t) => {
  const gateway = await gatewayOf(t, '--keep-deleted', 'drafts/*')
  const snapshot = await draft(gateway, 'novel')
  const reader = await late(gateway, 'novel')
  assert.notEqual(shown(reader.doc, snapshot), FIRST)
})

test('an import and a restart keep deleted content, and the flag taken away collects it', async (t) => {
  const gateway = await gatewayOf(t, '--keep-deleted', '*', '--api', 'admin')
  const snapshot = await draft(gateway, 'novel')
  const exported = await (await fetch(gateway.api('novel', '/export'))).arrayBuffer()
  const answer = await fetch(gateway.api('copy', '/import'), { method: 'POST', body: exported })
  assert.ok(answer.ok, `the import was answered with ${answer.status}`)
  await gateway.quiet()
  await gateway.kill()
  await gateway.run('--keep-deleted', 'copy')
  assert.equal(shown((await late(gateway, 'copy')).doc, snapshot), FIRST)
  assert.notEqual(shown((await late(gateway, 'novel')).doc, snapshot), FIRST)
})
