// The same edits in other updates: several as one, one as two.

import * as Y from 'yjs'
import { decodeString, KIND, readUpdate, varString, writeUpdate } from './wire.mjs'

/** `updates` in order, some neighbours merged and some updates split; all together make the same document. */
export function inOtherPieces(random, updates) {
  const pieces = []
  for (let index = 0; index < updates.length;) {
    const way = random.weighed({ whole: 10, merged: 2, split: 3 })
    const count = way === 'merged' ? random.between(2, 12) : 1
    const some = updates.slice(index, index + count)
    if (way === 'split') pieces.push(...split(random, some[0]))
    else pieces.push(some.length === 1 ? some[0] : Y.mergeUpdates(some))
    index += count
  }
  return pieces
}

/** An update of one client's structs as two: the first has those before some clock, and no deletions. */
function split(random, update) {
  const { clients } = readUpdate(update)
  if (clients.length !== 1) return [update]
  const [{ client, clock, structs }] = clients
  const length = structs.reduce((sum, struct) => sum + struct.length, 0)
  if (length < 2) return [update]
  const at = clock + random.between(1, length - 1)
  const first = before(structs, at - clock)
  if (first === null) return [update]
  const rest = Y.diffUpdate(update, Y.encodeStateVector(new Map([[client, at]])))
  return [writeUpdate({ clients: [{ client, clock, structs: first }], deletes: [] }), rest]
}

/** The structs of the first `length` clocks, or null if they end within something that is not text. */
function before(structs, length) {
  const first = []
  let left = length
  for (const struct of structs) {
    if (left === 0) break
    if (struct.length <= left) {
      first.push(struct)
      left -= struct.length
      continue
    }
    const text = struct.kind === KIND.string ? decodeString(struct.values[0]).slice(0, left) : ''
    if (!text.isWellFormed || !text.isWellFormed() || text === '') return null
    first.push({ ...struct, length: left, values: [varString(text)] })
    left = 0
  }
  return first
}
