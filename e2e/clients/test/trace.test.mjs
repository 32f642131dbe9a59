import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { loadTrace, replayOffline } from '../lib/trace.mjs'

const merged = (updates) => {
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, update)
  return doc.getText('text').toString()
}

test('the two authors of friendsforever end with the recorded text', () => {
  const trace = loadTrace('friendsforever')
  const { authors, contents } = replayOffline(trace)
  assert.deepEqual(
    authors.map((own) => own.length),
    [0, 1].map((agent) => trace.txns.filter((txn) => txn.agent === agent).length),
  )
  assert.ok(contents[0] === trace.endContent)
  assert.ok(contents[1] === trace.endContent)
  assert.equal([...trace.endContent].length, 21362)
  // All of one author before all of the other: Yjs must put them together all the same.
  const whole = authors.map((own) => Y.mergeUpdates(own.map(({ update }) => update)))
  assert.ok(merged([whole[1], whole[0]]) === trace.endContent)
})

test('an update of friendsforever needs nothing that its author had not seen', () => {
  const { authors } = replayOffline(loadTrace('friendsforever'))
  for (const own of authors) {
    const needs = own.map((edit) => edit.needs)
    assert.ok(needs.every((clock, index) => index === 0 || clock >= needs[index - 1]))
    assert.ok(needs.at(-1) > 0)
  }
})

test('positions are code points, also behind characters of two UTF-16 units', () => {
  const { contents } = replayOffline({
    numAgents: 2,
    txns: [
      { agent: 0, parents: [], patches: [[0, 0, '🙂a🙂b']] },
      { agent: 1, parents: [0], patches: [[3, 1, 'B']] },
      { agent: 0, parents: [0], patches: [[2, 1, '']] },
    ],
  })
  assert.deepEqual(contents, ['🙂aB', '🙂aB'])
})

test('a patch is applied at its parents, not at what the other wrote since', () => {
  const { contents } = replayOffline({
    numAgents: 2,
    txns: [
      { agent: 0, parents: [], patches: [[0, 0, 'ab']] },
      { agent: 0, parents: [0], patches: [[0, 0, 'xyz']] },
      { agent: 1, parents: [0], patches: [[1, 0, '-']] },
    ],
  })
  assert.deepEqual(contents, ['xyza-b', 'xyza-b'])
})
