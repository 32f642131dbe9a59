// Updates whose bytes are in order and whose meaning is not: yrs might refuse one, Yjs might throw at it, or it might
// wait for ever for something that cannot come. Behind them, updates that cost much more than their bytes.

import { any, by, deleted, embed, format, gc, skip, string, subdocument, type, update } from './updates.mjs'

/** The client that most of them are by. */
const CLIENT = 7
const HIGHEST = 2 ** 53 - 2

const TEXT = { parent: 't' }
const ENTRY = { parent: 'm', key: 'k' }

const strings = (...places) => by(CLIENT, ...places.map((place, index) => string(place, 'abc'[index])))
const named = (options) => by(CLIENT, subdocument(ENTRY, 'g', options))

export const SHAPES = {
  'an origin in its own future': strings({ origin: [CLIENT, 5] }),
  'an origin that is itself': strings({ origin: [CLIENT, 0] }),
  'a right origin in its own future': strings({ right: [CLIENT, 5] }),
  'a parent in its own future': strings({ parent: [CLIENT, 5] }),
  'a subdocument with null for options': named(null),
  'a subdocument with undefined for options': named(undefined),
  'a subdocument with a number for options': named(5),
  'a subdocument with a string for options': named('abc'),
  'a subdocument with odd options': named({ guid: null, gcFilter: 1, collectionid: 4 }),
  'an empty string': by(CLIENT, string(TEXT, ''), string(TEXT, 'a')),
  'no value for a key': by(CLIENT, any(ENTRY, []), any({ parent: 'm', key: 'j' }, [1])),
  'a deletion of length 0': by(CLIENT, deleted(TEXT, 0), string(TEXT, 'a')),
  'a string for a parent': strings(TEXT, { parent: [CLIENT, 0] }),
  'something collected for a parent': by(CLIENT, gc(1), string({ parent: [CLIENT, 0] }, 'b')),
  'something collected for an origin': by(CLIENT, gc(1), string({ origin: [CLIENT, 0] }, 'b')),
  'a client without structs': update([
    { client: CLIENT, structs: [] },
    { client: 6, structs: [string(TEXT, 'a')] },
  ]),
  'nothing but a skip': by(CLIENT, skip(5)),
  'a clock far away': update([{ client: CLIENT, clock: 0xfffffff0, structs: [string(TEXT, 'far')] }]),
  'an element whose tag is __proto__': by(CLIENT, type({ parent: 'x' }, 3, '__proto__')),
  'a key that is __proto__': by(CLIENT, any({ parent: 'm', key: '__proto__' }, [{ polluted: 1 }])),
  'a mark in a map': by(CLIENT, format(ENTRY, 'bold', true)),
  'neighbours that have different parents': strings(
    { parent: 'a' },
    { parent: 'b' },
    { origin: [CLIENT, 0], right: [CLIENT, 1] },
  ),
  'a right neighbour before the left one': by(
    CLIENT,
    string({ parent: 'a' }, 'ab'),
    string({ origin: [CLIENT, 1], right: [CLIENT, 0] }, 'c'),
  ),
  'one neighbour on both sides': by(
    CLIENT,
    string({ parent: 'a' }, 'ab'),
    string({ origin: [CLIENT, 1], right: [CLIENT, 1] }, 'c'),
  ),
  'an origin within an emoji': by(CLIENT, string({ parent: 'a' }, '😀😀'), string({ origin: [CLIENT, 0] }, 'c')),
  'a place within several values': update([
    { client: CLIENT, structs: [any({ parent: 'a' }, [1, 2, 3])] },
    { client: 8, structs: [any({ origin: [CLIENT, 0], right: [CLIENT, 2] }, [9])] },
  ]),
  'a deletion of somebody unknown': update([], [[99, [[0, 0xffffffff]]]]),
  'a deleted range of length 0': update(
    [{ client: CLIENT, structs: [string(TEXT, 'abc')] }],
    [[CLIENT, [[1, 0]]]],
  ),
  'deleted ranges that overlap': update(
    [{ client: CLIENT, structs: [string(TEXT, 'abc')] }],
    [[CLIENT, [[0, 2], [1, 2], [0, 3]]]],
  ),
  'null for an embed': by(CLIENT, embed(TEXT, null)),
  'the highest client at the highest clock': by(2 ** 53 - 1, gc(0xfffffffe), gc(1)),
  'an origin in its own future, highest client': by(HIGHEST, string({ origin: [HIGHEST, 5] }, 'x')),
  'a parent in its own future, highest client': by(HIGHEST, string({ parent: [HIGHEST, 5] }, 'x')),
  'a deletion of length 0, highest client': by(HIGHEST, deleted(TEXT, 0), string(TEXT, 'a')),
}

/** Types within each other, `depth` of them, and the deletion of the outermost. */
export function nest(depth) {
  const structs = Array.from({ length: depth }, (_, i) => type({ parent: i === 0 ? 'a' : [CLIENT, i - 1] }, 0))
  return update([{ client: CLIENT, structs }], [[CLIENT, [[0, 1]]]])
}

/** One deleted item of each of `count` clients, each to the right of the next lower client's, the highest first. */
export function chain(count) {
  const clients = Array.from({ length: count }, (_, i) => {
    const client = count - i
    return { client, structs: [client === 1 ? string(TEXT, 'x') : deleted({ origin: [client - 1, 0] }, 1)] }
  })
  return update(clients)
}

/**
 * `count` items of one client in a row at `place`, and of another one item behind them and as many that each have no
 * origin: to find the place of each, all those before it are looked at.
 */
export function conflict(count, place) {
  const item = place.key === undefined ? (at) => embed(at, 1) : (at) => any(at, [null])
  const row = Array.from({ length: count }, (_, i) => item(i === 0 ? place : { origin: [5, i - 1] }))
  const others = Array.from({ length: count }, () => item(place))
  return update([
    { client: 5, structs: row },
    { client: 6, structs: [deleted({ origin: [5, count - 1] }, 1), ...others] },
  ])
}
