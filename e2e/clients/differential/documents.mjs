// Documents that only integrate what they are given.

import * as Y from 'yjs'

/**
 * A document that changes nothing by itself. Yjs removes superfluous formatting after somebody else's edits, which is
 * an edit of its own: whoever compares what updates make must not add edits, and what is added depends on how the
 * updates came in. The editors of the rounds do it, as they are to be like real ones, and send it.
 */
export function quiet(...updates) {
  return integrated(new Y.Doc(), updates)
}

/** The same for a document that keeps what was deleted. */
export function keeping(...updates) {
  return integrated(new Y.Doc({ gc: false }), updates)
}

function integrated(doc, updates) {
  doc.on('afterTransaction', (transaction) => {
    transaction._needFormattingCleanup = false
  })
  for (const update of updates) Y.applyUpdate(doc, update)
  return doc
}

/** Whether something that was given waits for what was not. */
export const waits = (doc) => doc.store.pendingStructs !== null || doc.store.pendingDs !== null

/** Forgets what waits. */
export function forget(doc) {
  doc.store.pendingStructs = null
  doc.store.pendingDs = null
}

/** What a document has as an update, without what waits in it. */
export function settled(doc) {
  if (!waits(doc)) return Y.encodeStateAsUpdate(doc)
  const { pendingStructs, pendingDs } = doc.store
  forget(doc)
  const update = Y.encodeStateAsUpdate(doc)
  Object.assign(doc.store, { pendingStructs, pendingDs })
  return update
}
