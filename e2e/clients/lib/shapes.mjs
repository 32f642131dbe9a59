// Updates whose bytes are in order and whose meaning is not: yrs might refuse one, Yjs might throw at it, or it might
// wait for ever for something that cannot come. Behind them, updates that cost much more than their bytes.

import { any, by, deleted, embed, format, gc, skip, string, subdocument, type, update } from './updates.mjs'

const HIGHEST = 2 ** 53 - 2

const TEXT = { parent: 't' }
const ENTRY = { parent: 'm', key: 'k' }

/** Each shape by name. They are by `client`, the two ids behind it, and the two highest ids that there are. */
export function shapes(client) {
  const strings = (...places) => by(client, ...places.map((place, index) => string(place, 'abc'[index])))
  const named = (options) => by(client, subdocument(ENTRY, 'g', options))
  return {
    'an origin in its own future': strings({ origin: [client, 5] }),
    'an origin that is itself': strings({ origin: [client, 0] }),
    'a right origin in its own future': strings({ right: [client, 5] }),
    'a parent in its own future': strings({ parent: [client, 5] }),
    'a subdocument with null for options': named(null),
    'a subdocument with undefined for options': named(undefined),
    'a subdocument with a number for options': named(5),
    'a subdocument with a string for options': named('abc'),
    'a subdocument with odd options': named({ guid: null, gcFilter: 1, collectionid: 4 }),
    'an empty string': by(client, string(TEXT, ''), string(TEXT, 'a')),
    'no value for a key': by(client, any(ENTRY, []), any({ parent: 'm', key: 'j' }, [1])),
    'a deletion of length 0': by(client, deleted(TEXT, 0), string(TEXT, 'a')),
    'a string for a parent': strings(TEXT, { parent: [client, 0] }),
    'something collected for a parent': by(client, gc(1), string({ parent: [client, 0] }, 'b')),
    'something collected for an origin': by(client, gc(1), string({ origin: [client, 0] }, 'b')),
    'a client without structs': update([
      { client: client + 1, structs: [] },
      { client, structs: [string(TEXT, 'a')] },
    ]),
    'nothing but a skip': by(client, skip(5)),
    'a clock far away': update([{ client, clock: 0xfffffff0, structs: [string(TEXT, 'far')] }]),
    'an element whose tag is __proto__': by(client, type({ parent: 'x' }, 3, '__proto__')),
    'a key that is __proto__': by(client, any({ parent: 'm', key: '__proto__' }, [{ polluted: 1 }])),
    'a mark in a map': by(client, format(ENTRY, 'bold', true)),
    'neighbours that have different parents': strings(
      { parent: 'a' },
      { parent: 'b' },
      { origin: [client, 0], right: [client, 1] },
    ),
    'a right neighbour before the left one': by(
      client,
      string({ parent: 'a' }, 'ab'),
      string({ origin: [client, 1], right: [client, 0] }, 'c'),
    ),
    'one neighbour on both sides': by(
      client,
      string({ parent: 'a' }, 'ab'),
      string({ origin: [client, 1], right: [client, 1] }, 'c'),
    ),
    'an origin within an emoji': by(client, string({ parent: 'a' }, '😀😀'), string({ origin: [client, 0] }, 'c')),
    'a place within several values': update([
      { client, structs: [any({ parent: 'a' }, [1, 2, 3])] },
      { client: client + 1, structs: [any({ origin: [client, 0], right: [client, 2] }, [9])] },
    ]),
    'a deletion of somebody unknown': update([], [[client + 2, [[0, 0xffffffff]]]]),
    'a deleted range of length 0': update(
      [{ client, structs: [string(TEXT, 'abc')] }],
      [[client, [[1, 0]]]],
    ),
    'deleted ranges that overlap': update(
      [{ client, structs: [string(TEXT, 'abc')] }],
      [[client, [[0, 2], [1, 2], [0, 3]]]],
    ),
    'null for an embed': by(client, embed(TEXT, null)),
    'the highest client at the highest clock': by(2 ** 53 - 1, gc(0xfffffffe), gc(1)),
    'an origin in its own future, highest client': by(HIGHEST, string({ origin: [HIGHEST, 5] }, 'x')),
    'a parent in its own future, highest client': by(HIGHEST, string({ parent: [HIGHEST, 5] }, 'x')),
    'a deletion of length 0, highest client': by(HIGHEST, deleted(TEXT, 0), string(TEXT, 'a')),
  }
}

/** Types within each other, `depth` of them, and the deletion of the outermost. */
export function nest(depth, client = 7) {
  const structs = Array.from({ length: depth }, (_, i) => type({ parent: i === 0 ? 'a' : [client, i - 1] }, 0))
  return update([{ client, structs }], [[client, [[0, 1]]]])
}

/**
 * One deleted item of each of `count` clients, `first` and those behind it, each to the right of the next lower client's,
 * the highest first. `origin`: what the first is to the right of; without it, it stands alone.
 */
export function chain(count, first = 1, origin = null) {
  const begin = origin === null ? string(TEXT, 'x') : deleted({ origin }, 1)
  const clients = Array.from({ length: count }, (_, i) => {
    const client = first + count - 1 - i
    return { client, structs: [client === first ? begin : deleted({ origin: [client - 1, 0] }, 1)] }
  })
  return update(clients)
}

/**
 * `count` items of one client in a row at `place`, and of the next client one item behind them and as many that each have
 * no origin: to find the place of each, all those before it are looked at.
 */
export function conflict(count, place, client = 5) {
  const item = place.key === undefined ? (at) => embed(at, 1) : (at) => any(at, [null])
  const row = Array.from({ length: count }, (_, i) => item(i === 0 ? place : { origin: [client, i - 1] }))
  const others = Array.from({ length: count }, () => item(place))
  return update([
    { client, structs: row },
    { client: client + 1, structs: [deleted({ origin: [client, count - 1] }, 1), ...others] },
  ])
}
