// Cases made of a session that two people really typed (see e2e/data).

import * as Y from 'yjs'
import { loadTrace, replayOffline } from '../lib/trace.mjs'

const WHOLE = 1 / 8

let authors = null

/** The beginning of the session, or all of it, in one of the orders in which a server could have seen it. */
export function recordedCase(random) {
  authors ??= replayOffline(loadTrace('friendsforever')).authors
  const total = authors[0].length + authors[1].length
  const updates = interleaved(random, random.chance(WHOLE) ? total : random.between(200, 6000))
  const lossy = random.chance(0.4)
  const order = lossy ? random.shuffled(updates, 30) : updates
  const looks = Math.ceil(order.length / 4)
  const half = Y.mergeUpdates(updates.slice(0, updates.length >> 1))
  const steps = order.flatMap((update, index) => {
    const step = [lossy ? 'take' : 'admit', update]
    return index % looks === looks - 1 ? [step, ['check'], ['diff', half]] : [step]
  })
  return [
    ...steps,
    ['final'],
    ['merge', half, Y.mergeUpdates(updates.slice(updates.length >> 2))],
    ['reload'],
    ['final'],
  ]
}

/** Each author's updates in order, one of the other's only when it has what it builds upon. */
function interleaved(random, count) {
  const next = [0, 0]
  const clocks = [0, 0]
  const order = []
  while (order.length < count) {
    const ready = [0, 1].filter((a) => authors[a][next[a]] !== undefined && authors[a][next[a]].needs <= clocks[1 - a])
    const a = random.pick(ready)
    // Several at once, as people type in bursts.
    for (let burst = random.between(1, 20); burst > 0 && order.length < count; burst -= 1) {
      const made = authors[a][next[a]]
      if (made === undefined || made.needs > clocks[1 - a]) break
      next[a] += 1
      clocks[a] = [...Y.parseUpdateMeta(made.update).to.values()][0] ?? clocks[a]
      order.push(made.update)
    }
  }
  return order
}
