// The shared types of a document, found by its items and not by the names and kinds of its roots.

import * as Y from 'yjs'

/** The items of a type that are not deleted, in order: those of its list, then those under its keys by key. */
export function items(type) {
  const list = []
  for (let item = type._start; item !== null; item = item.right) if (!item.deleted) list.push(item)
  const keyed = [...type._map].filter(([, item]) => !item.deleted).sort(([a], [b]) => (a < b ? -1 : 1))
  return { list, keyed }
}

/** All shared types that can be reached, roots first. */
export function sharedTypes(doc) {
  const found = [...doc.share.values()]
  for (let index = 0; index < found.length; index += 1) {
    const { list, keyed } = items(found[index])
    for (const { content } of [...list, ...keyed.map(([, item]) => item)]) {
      if (content instanceof Y.ContentType) found.push(content.type)
    }
  }
  return found
}
