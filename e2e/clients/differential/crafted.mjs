// Attacks that somebody once built by hand; each is tried as it is and with other ids.

import { announce, any, KIND, varString, varUint, writeUpdate } from './wire.mjs'

const item = (where, kind, length, ...values) =>
  announce({ kind, length, values, origin: null, right: null, parent: null, sub: null, ...where })
const string = (where, value) => item(where, KIND.string, value.length, varString(value))
const values = (where, ...list) => item(where, KIND.any, list.length, ...list.map(any))
const deleted = (where, length) => item(where, KIND.deleted, length)
const type = (where, ref, name) =>
  item(where, KIND.type, 1, ...[varUint(ref), ...(name === undefined ? [] : [varString(name)])])
const subdocument = (options) => item({ parent: 'map', sub: 'k' }, KIND.doc, 1, varString('guid'), any(options))
const embed = (where, json) => item(where, KIND.embed, 1, varString(json))
const format = (where, key, json) => item(where, KIND.format, 1, varString(key), varString(json))
const gc = (length) => ({ info: 0, kind: KIND.gc, length })
const skip = (length) => ({ info: 0, kind: KIND.skip, length })

const deletes = (client, ...ranges) => [{ client, ranges }]
const section = (client, structs, clock = 0) => ({ client, clock, structs })
const many = (count, make) => Array.from({ length: count }, (_, index) => make(index))

/** Each takes a client `c` that is new to the document, and gives sections of structs and, if any, a delete set. */
const ATTACKS = [
  // Items that name themselves, what comes after them, or each other.
  (c) => [[section(c, [string({ origin: [c, 5] }, 'x')])]],
  (c) => [[section(c, [string({ origin: [c, 0] }, 'x')])]],
  (c) => [[section(c, [string({ right: [c, 5] }, 'x')])]],
  (c) => [[section(c, [string({ parent: [c, 5] }, 'x')])]],
  (c) => [[section(c, [type({ parent: [c, 0] }, 0)])]],
  (c) => [[section(c, [string({ origin: [c + 1, 0] }, 'x')]), section(c + 1, [string({ origin: [c, 0] }, 'y')])]],
  (c) => [[section(c, [type({ parent: [c + 1, 0] }, 0)]), section(c + 1, [type({ parent: [c, 0] }, 0)])]],
  // Parents that are none, and neighbours that do not belong together.
  (c) => [[section(c, [string({ parent: 'text' }, 'a'), string({ parent: [c, 0] }, 'b')])]],
  (c) => [[section(c, [gc(1), string({ parent: [c, 0] }, 'b')])]],
  (c) => [[section(c, [gc(1), string({ origin: [c, 0] }, 'b')])]],
  (c) => [[section(c, [deleted({ parent: 'text' }, 1), string({ parent: [c, 0] }, 'b')])]],
  (c) => [
    [
      section(c, [
        string({ parent: 'a' }, 'a'),
        string({ parent: 'b' }, 'b'),
        string({ origin: [c, 0], right: [c, 1] }, 'c'),
      ]),
    ],
  ],
  (c) => [[section(c, [string({ parent: 'a' }, 'ab'), string({ origin: [c, 1], right: [c, 0] }, 'c')])]],
  (c) => [[section(c, [string({ parent: 'a' }, 'ab'), string({ origin: [c, 1], right: [c, 1] }, 'c')])]],
  (c) => [
    [
      section(c, [
        values({ parent: 'map', sub: 'k' }, 1),
        string({ parent: 'map' }, 'b'),
        string({ origin: [c, 0], right: [c, 1] }, 'c'),
      ]),
    ],
  ],
  // Lengths of nothing and of too much.
  (c) => [[section(c, [string({ parent: 'text' }, ''), string({ parent: 'text' }, 'a')])]],
  (c) => [[section(c, [values({ parent: 'map', sub: 'k' }), values({ parent: 'map', sub: 'j' }, 1)])]],
  (c) => [[section(c, [deleted({ parent: 'text' }, 0), string({ parent: 'text' }, 'a')])]],
  (c) => [[section(c, [gc(0), string({ parent: 'text' }, 'a')])]],
  (c) => [[section(c, [deleted({ parent: 'text' }, 2 ** 53 - 1)])]],
  (c) => [[section(c, [gc(2 ** 32 - 2), gc(1), gc(2 ** 52), gc(2 ** 52)])]],
  (c) => [[section(c, [skip(5)])]],
  (c) => [[section(c, [skip(5), string({ parent: 'text' }, 'a')])]],
  (c) => [[section(c, [string({ parent: 'text' }, 'evil')], 2 ** 32 - 16)]],
  (c) => [[section(c, []), section(c + 1, [string({ parent: 'text' }, 'a')])]],
  // Keys and values that are more than they seem.
  (c) => [[section(c, [values({ parent: 'map', sub: '__proto__' }, { polluted: 1 })])]],
  (c) => [[section(c, [type({ parent: 'xml' }, 3, '__proto__')])]],
  (c) => [[section(c, [format({ parent: 'map', sub: 'k' }, 'bold', 'true')])]],
  (c) => [[section(c, [format({ parent: 'array' }, 'bold', 'true'), format({ parent: 'xml' }, '', '{}')])]],
  (c) => [
    [
      section(c, [
        values({ parent: 'text' }, 1),
        string({ parent: 'array' }, 's'),
        string({ parent: 'map', sub: 'two' }, 'ab'),
      ]),
    ],
  ],
  (c) => [[section(c, [embed({ parent: 'text' }, 'null')])]],
  ...[
    null,
    undefined,
    5,
    'abc',
    true,
    [],
    { guid: null, gcFilter: 1, collectionid: 4 },
    { guid: 'other' },
    { gcFilter: null, gc: true },
  ].map((options) => (c) => [[section(c, [subdocument(options)])]]),
  // Cuts where there is nothing to cut.
  (c) => [[section(c, [string({ parent: 'text' }, '😀😀'), string({ origin: [c, 0] }, 'c')])]],
  (c) => [
    [
      section(c, [values({ parent: 'array' }, 1, 2, 3)]),
      section(c + 1, [values({ origin: [c, 0], right: [c, 2] }, 9)]),
    ],
  ],
  // Delete sets.
  () => [[], deletes(99, [0, 2 ** 32 - 1])],
  () => [[], deletes(2 ** 53 - 1, [2 ** 53 - 1, 2 ** 53 - 1])],
  (c) => [[section(c, [string({ parent: 'text' }, 'abc')])], deletes(c, [1, 0])],
  (c) => [[section(c, [string({ parent: 'text' }, 'abc')])], deletes(c, [0, 2], [1, 2], [0, 3])],
  (c) => [[section(c, [string({ parent: 'text' }, 'abc')])], deletes(c, [2, 5])],
  (c) => [[], many(1000, (index) => ({ client: c, ranges: [[2 * index, 1]] }))],
  // Depth, for those who recurse, and work that grows faster than its cause.
  ...[100, 1000, 5000, 20_000].map((depth) => (c) => [nested(depth, c), deletes(c, [0, 1])]),
  ...[1000, 20_000].map((depth) => (c) => [nested(depth, c)]),
  (c) => [
    many(5000, (index) =>
      section(c + 5000 - index, [
        index === 4999 ? string({ parent: 'text' }, 'x') : deleted({ origin: [c + 4999 - index, 0] }, 1),
      ]),
    ),
  ],
  (c) => [rivals(500, c, (where) => values(where, null), { parent: 'map', sub: 'k' })],
  (c) => [rivals(500, c, (where) => embed(where, '1'), { parent: 'text' })],
]

/** Shared types in each other. */
function nested(depth, c) {
  return [
    section(
      c,
      many(depth, (index) => type({ parent: index === 0 ? 'array' : [c, index - 1] }, 0)),
    ),
  ]
}

/** A chain of one client, and as many items of another that all want its place. */
function rivals(count, c, make, where) {
  const chain = many(count, (index) => make(index === 0 ? where : { origin: [c, index - 1] }))
  return [
    section(c, chain),
    section(
      c + 1,
      many(count, () => make(where)),
    ),
  ]
}

/** One of the attacks. The client may be the highest that the format can hold. */
export function crafted(random) {
  const client = random.pick([random.between(5, 900), random.bits(), 2 ** 53 - 6000])
  const [clients, deleted_ = []] = random.pick(ATTACKS)(client)
  return writeUpdate({ clients, deletes: deleted_ })
}
