// What hostile and buggy clients send beside honest ones.
//
// No attack deletes what somebody honest has written, which an editor may do; none writes under an id that may be an
// honest client's, or tells of such a client's presence, which the gateway does not prevent. None writes two things under
// one id and clock. So in the end every honest edit must be there, and everybody must have the same.

import * as Y from 'yjs'
import { edit, presence, query, step1, step2, vector } from './messages.mjs'
import { chain, conflict, nest, shapes } from './shapes.mjs'
import { any, by, string, update } from './updates.mjs'

/** Ids from here on are no honest client's: Yjs draws 32 bits. */
export const HOSTILE = 2 ** 40
/** The largest number that lib0 writes. */
const MOST = Number.MAX_SAFE_INTEGER
/** More than what may compete for one place, and deeper than types may be in each other. */
const CROWD = 5000
const TOO_DEEP = 600
const ENTRY = { parent: 'm', key: 'k' }

/** Ids that nobody else has: each attacker, by its number, has 2^32. */
export class Ids {
  #next

  constructor(attacker) {
    this.#next = HOSTILE + attacker * 2 ** 32
  }

  /** The first of `count` ids. */
  take(count = 1) {
    const first = this.#next
    this.#next += count
    return first
  }
}

/**
 * One attack of each kind. Each takes what an attacker has and returns messages; a string is a text message.
 *
 * - `random`, `ids`: where chance and ids come from
 * - `scale`: how large it may be, from 1, which a document in which others work can bear
 * - `doc`: the document as the attacker has it; `stale`: what it was earlier; `heard`: the last updates that came
 */
export const ATTACKS = {
  // No messages.
  'an unknown kind of message': ({ random }) => [Uint8Array.of(0x7f, ...random.bytes(20))],
  'an unknown kind of sync': ({ random }) => [Uint8Array.of(0, 9, ...random.bytes(20))],
  'a text message': () => ['hello'],
  'an empty message': () => [new Uint8Array()],
  'what only a server says': () => [Uint8Array.of(2, 0, 1, 0x78)],
  'bytes behind a message': ({ ids }) => [Uint8Array.of(...edit(word(ids.take())), 0xff, 0xff)],
  'more bytes claimed than sent': ({ ids }) => [edit(word(ids.take())).subarray(0, -3)],

  // No updates.
  'random bytes for an update': ({ random }) => [edit(random.bytes(random.between(1, 200)))],
  'half of an update': (own) => half(own),
  'more clients claimed than sent': () => [edit(vector([[MOST, MOST]]))],
  'bytes behind an update': ({ ids }) => [edit(Uint8Array.of(...word(ids.take()), 0))],

  // Updates that no editor makes.
  shape: ({ random, ids }) => [edit(random.pick(Object.values(shapes(ids.take(3)))))],
  'another shape, as a Step2': ({ random, ids }) => [step2(random.pick(Object.values(shapes(ids.take(3)))))],
  'types within each other': ({ ids, scale }) => [edit(nest(Math.min(50 * scale, 500), ids.take()))],
  'types too deep within each other': ({ ids, scale }) => [edit(nest(TOO_DEEP * scale, ids.take()))],
  'a chain of clients': ({ ids, scale }) => [edit(chain(20 * scale, ids.take(20 * scale)))],
  'a conflict': ({ ids, scale }) => [edit(conflict(20 * scale, { parent: 'a' }, ids.take(2)))],
  'a conflict of values': ({ ids, scale }) => [edit(conflict(20 * scale, ENTRY, ids.take(2)))],
  'too many for one place': ({ ids }) => {
    const client = ids.take(2)
    return [edit(conflict(CROWD, { parent: `crowd ${client}` }, client))]
  },
  'a large value': ({ ids, scale }) => [edit(by(ids.take(), any(ENTRY, [deep(400), 'x'.repeat(1000 * scale)])))],
  'a value too deep': ({ ids }) => [edit(by(ids.take(), any(ENTRY, [deep(2000)])))],

  // In the midst of others' work.
  'siblings in the text': (own) => siblings(own),
  'a character for a parent': (own) => [edit(by(own.ids.take(), string({ parent: somebody(own) }, 'x')))],
  'a place behind what may be deleted': (own) => [edit(by(own.ids.take(), string({ origin: somebody(own) }, 'x')))],

  // What refers to what nobody has told.
  'an origin that nobody has told': ({ ids }) => [edit(by(ids.take(), string({ origin: [ids.take(), 7] }, 'x')))],
  'a chain without its beginning': ({ ids, scale }) => {
    const client = ids.take(50 * scale)
    return [edit(chain(50 * scale, client, [ids.take(), 3]))]
  },
  "an honest client's far future": (own) => {
    const [client] = somebody(own)
    return [edit(by(own.ids.take(), string({ origin: [client, 2 ** 31] }, 'x')))]
  },
  'the second half before the first': ({ ids }) => {
    const client = ids.take()
    const [first, second] = [word(client), word(client, 5)]
    return [edit(second), edit(first)]
  },

  // What honest clients say, at the wrong time.
  'the whole document, twice': ({ doc }) => {
    const all = Y.encodeStateAsUpdate(doc)
    return [step2(all), step2(all)]
  },
  'a stale Step2': ({ stale }) => [step2(stale)],
  'what others wrote': ({ heard }) => heard.flatMap((body) => [edit(body), step2(body)]),
  'the document asked for again and again': ({ doc }) => [
    step1(),
    ...Array.from({ length: 5 }, () => step1(Y.encodeStateVector(doc))),
  ],

  // State vectors.
  'clocks that nobody has': (own) => [step1(vector(clients(own).map((client) => [client, 2 ** 32 - 1])))],
  'a clock beyond 32 bits': ({ ids }) => [step1(vector([[ids.take(), MOST]]))],
  'a vector of clients that nobody knows': ({ ids, scale }) => {
    const first = ids.take(100 * scale)
    return [step1(vector(Array.from({ length: 100 * scale }, (_, i) => [first + i, i])))]
  },
  'half of a vector': () => [step1(Uint8Array.of(3, 1))],

  // Presence.
  'a presence at the largest clock': ({ ids }) => [presence([[ids.take(), MOST, '{"user":{"name":"large"}}']])],
  'a presence that comes back from the largest clock': ({ ids }) => {
    const client = ids.take()
    return [MOST, 0, 1, MOST].map((clock, i) => presence([[client, clock, i === 1 ? 'null' : '{}']]))
  },
  'a crowd of presences': ({ ids, scale }) => {
    const first = ids.take(20 * scale)
    return [presence(Array.from({ length: 20 * scale }, (_, i) => [first + i, i, '{"user":{"name":"crowd"}}'])), query()]
  },
  'somebody else who is said to leave': ({ ids }) => [presence([[ids.take(), MOST, 'null']])],
  'a presence that is no JSON': ({ ids }) => [presence([[ids.take(), 1, '{"user":']])],
  'a presence that is no object': ({ ids }) => [presence([[ids.take(), 1, '5']])],
}

/** Five characters under a name of their own. */
function word(client, clock = 0) {
  const place = clock === 0 ? { parent: 'w' } : { origin: [client, clock - 1] }
  return update([{ client, clock, structs: [string(place, 'words')] }])
}

function half({ ids, random }) {
  const part = () => ({ client: ids.take(), structs: [string({ parent: 'h' }, 'half')] })
  const whole = update(Array.from({ length: 5 }, part))
  const message = edit(whole.subarray(0, random.between(1, whole.length - 1)))
  // As a client that was cut off tells it again.
  return [message, edit(whole)]
}

function deep(depth) {
  let value = 1
  for (let i = 0; i < depth; i += 1) value = { c: value }
  return value
}

/** Everybody who has written. */
function clients({ doc }) {
  return [...doc.store.clients.keys()]
}

/** The id of something that somebody has written, if there is anything. */
function somebody({ doc, random, ids }) {
  const all = [...Y.decodeStateVector(Y.encodeStateVector(doc))].filter(([client]) => client < HOSTILE)
  if (all.length === 0) return [ids.take(), 0]
  const [client, clock] = random.pick(all)
  return [client, random.below(clock)]
}

/** As ten people who insert one character each at the same place of the shared text, none of whom knows of the others. */
function siblings({ doc, random, ids }) {
  const text = doc.getText('text')
  const steps = random.below(200)
  let left = null
  let right = text._start
  for (let i = 0; i < steps && right !== null; i += 1) [left, right] = [right, right.right]
  const place = { parent: 'text' }
  if (left !== null) place.origin = [left.lastId.client, left.lastId.clock]
  if (right !== null) place.right = [right.id.client, right.id.clock]
  return Array.from({ length: 10 }, () => edit(by(ids.take(), string(place, '*'))))
}
