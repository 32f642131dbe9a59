import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { application, deletions, structure, vector } from '../differential/compare.mjs'
import { keeping, quiet, waits } from '../differential/documents.mjs'
import { inOtherPieces } from '../differential/pieces.mjs'
import { Random } from '../lib/random.mjs'
import { loadRecording, recordings } from '../lib/recording.mjs'

const bytes = ({ updates }) => updates.map(({ update }) => update)

for (const name of recordings()) {
  const recording = loadRecording(name)

  test(`each update of ${name} refers to nothing that comes later`, () => {
    const doc = quiet()
    for (const update of bytes(recording)) {
      Y.applyUpdate(doc, update)
      assert.ok(!waits(doc))
    }
  })

  test(`${name} in other pieces is the same document, and its pieces refer to nothing that comes later`, () => {
    const whole = quiet(...bytes(recording))
    for (const round of [1, 2, 3]) {
      const pieces = inOtherPieces(new Random(1, round), bytes(recording))
      assert.notEqual(pieces.length, recording.updates.length)
      const doc = quiet()
      for (const update of pieces) {
        Y.applyUpdate(doc, update)
        assert.ok(!waits(doc))
      }
      for (const look of [vector, deletions, structure, application]) assert.equal(look(doc), look(whole))
    }
  })
}

test('the recordings have what they are for', () => {
  const all = recordings().map(loadRecording)
  const kinds = ['blocknote', 'codemirror', 'lexical', 'pycrdt', 'quill', 'tiptap']
  assert.deepEqual([...new Set(all.map(({ kind }) => kind))], kinds)
  for (const { name, updates, gc } of all) {
    assert.ok(
      updates.some(({ how }) => how === 'back'),
      `${name}: somebody was without a connection`,
    )
    assert.ok(new Set(updates.map(({ person }) => person)).size > 1, `${name}: several people write`)
    const deleted = (doc) => deletions(doc).split(' ').length
    assert.ok(
      deleted((gc ? quiet : keeping)(...bytes({ updates }))) > 1,
      `${name}: several people's writing is deleted`,
    )
  }
})
