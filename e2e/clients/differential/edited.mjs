// Cases made of sessions in real editors (see lib/recording.mjs), each time merged, split and ordered in another way.

import * as Y from 'yjs'
import { loadRecording, recordings } from '../lib/recording.mjs'
import { inOtherPieces } from './pieces.mjs'

const WHOLE = 1 / 4

let loaded = null

/** One session, or its beginning: as a room hears it, or as a log that was read out of order. */
export function editedCase(random) {
  loaded ??= recordings().map(loadRecording)
  const { updates, gc } = random.pick(loaded)
  const all = updates.map(({ update }) => update)
  const count = random.chance(WHOLE) ? all.length : random.between(Math.min(50, all.length), all.length)
  const some = all.slice(0, count)
  const keep = random.chance(gc ? 0.2 : 0.8) ? [['keep']] : []
  const steps = random.chance(0.6) ? room(random, some) : log(random, some)
  const half = Y.mergeUpdates(some.slice(0, some.length >> 1))
  const rest = Y.mergeUpdates(some.slice(some.length >> 2))
  return [...keep, ...steps, ['final'], ['diff', half], ['merge', half, rest], ['reload'], ['final']]
}

/** In order; now and then somebody joins who has read a part before. */
function room(random, updates) {
  const pieces = inOtherPieces(random, updates)
  const looks = 6 / pieces.length
  return pieces.flatMap((update, index) => {
    const steps = [[random.chance(0.1) ? 'twice' : 'admit', update]]
    // What was told before is told again, together with what follows it.
    if (random.chance(0.05)) steps.push(['admit', Y.mergeUpdates(pieces.slice(Math.max(0, index - 8), index + 1))])
    if (random.chance(looks)) steps.push(['check'])
    if (random.chance(looks)) steps.push(['diff', Y.mergeUpdates(pieces.slice(0, random.between(1, index + 1)))])
    if (random.chance(looks / 3)) steps.push(['reload'])
    return steps
  })
}

/** Late, twice, or not before the end. */
function log(random, updates) {
  const pieces = inOtherPieces(random, updates)
  const kept = pieces.filter(() => random.chance(0.95))
  const again = kept.filter(() => random.chance(0.1))
  const order = random.shuffled([...kept, ...again], random.pick([3, 30, pieces.length]))
  const looks = 6 / order.length
  const steps = order.flatMap((update) => [['take', update], ...(random.chance(looks) ? [['check']] : [])])
  return [...steps, ...random.shuffled(pieces).map((update) => ['take', update])]
}
