// Whether Yjs agrees with itself on what an attack has made.
//
// An item whose neighbours are in the wrong order, or in two lists, ends up where the order of integration puts it, in
// every Yjs and with every server. A store that does not integrate cannot see the order, so that it is not asked to.

import * as Y from 'yjs'
import { structure, vector } from './compare.mjs'
import { quiet, settled } from './documents.mjs'
import { readUpdate } from './wire.mjs'

/** Whether the items of the news name neighbours in order, and Yjs reads document and news alike in other ways too. */
export function isSteady(live, before, news) {
  const wanted = structure(live)
  const ways = [() => [settled(live)], () => [Y.mergeUpdates([before, news])], () => [news, before]]
  return (
    inOrder(live, news) &&
    ways.every((way) => {
      try {
        const doc = quiet(...way())
        return structure(doc) === wanted && vector(doc) === vector(live)
      } catch {
        // A way in which Yjs cannot read it says nothing about those that the gateway takes.
        return true
      }
    })
  )
}

function inOrder(live, news) {
  const structs = readUpdate(news).clients.flatMap((section) => section.structs)
  return structs.every(({ origin, right }) => {
    if (!origin || !right) return true
    const end = Y.getItem(live.store, Y.createID(...right))
    let item = Y.getItem(live.store, Y.createID(...origin))
    if (item === end) return origin[1] < right[1]
    // Of what is gone with its parent no order is left.
    if (!(item instanceof Y.Item && end instanceof Y.Item)) return true
    while (item !== null && item !== end) item = item.right
    return item === end
  })
}
