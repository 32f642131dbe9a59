// What people and programs put into documents: text, plain values, JSON and shared types.

import * as Y from 'yjs'

const PIECES = ['a', 'bc', 'xyz ', 'é', '漢字', '😀', '👩‍💻', '\n', '\0', 'ﬁn', '𝄞𝄞', '﷽', '\ufeff', '0123456789']
const KEYS = ['k0', 'k1', 'k2', 'k3', '', 'é', '😀', '__proto__', 'constructor', 'toString', 'a long key '.repeat(9)]
const HALVES = ['\ud83d', '\ude00', 'x\ud800y']

export const text = (random) => random.pick(PIECES).repeat(random.between(1, 4))

export const key = (random) => KEYS[Math.min(random.below(KEYS.length), random.below(KEYS.length))]

const FLAT = [
  (random) => random.below(200),
  (random) => -random.below(2 ** 31),
  () => 2 ** 31,
  () => Number.MAX_SAFE_INTEGER,
  () => -0,
  () => 0.1,
  () => 1.5,
  () => NaN,
  () => -Infinity,
  () => 5e-324,
  (random) => BigInt(random.bits()) * 0x7fffffffn,
  () => -(2n ** 63n),
  () => 0n,
  () => undefined,
  () => null,
  (random) => random.chance(0.5),
  (random) => text(random),
  () => '',
  // A half of a surrogate pair becomes U+FFFD on its way: whoever reads must see that and nothing worse.
  (random) => random.pick(HALVES),
  (random) => 'long '.repeat(random.below(300)),
]

/** What ContentAny can hold inside: also binary in an object, and objects whose keys have an order. */
export function plain(random, depth = 3) {
  const kind = depth === 0 ? 0 : random.below(8)
  if (kind === 7 && random.chance(0.05)) return deep(200, random.chance(0.5))
  if (kind === 6) return random.bytes(random.below(20))
  if (kind === 5) return Array.from({ length: random.below(4) }, () => plain(random, depth - 1))
  // Whoever reads the second key loses it, in every Yjs; the bytes must keep it. It holds a number, as a Yjs that has
  // read something else there can no longer write it.
  if (kind === 4 && random.chance(0.01)) return JSON.parse('{"a":1,"__proto__":2,"0":3}')
  if (kind === 4) return object(random, () => plain(random, depth - 1))
  return random.pick(FLAT)(random)
}

/** What JSON can hold: the values of formats and embeds travel as JSON, where halves of pairs are escaped. */
export function json(random, depth = 2) {
  const kind = depth === 0 ? 0 : random.below(9)
  if (kind === 8 && random.chance(0.05)) return deep(200, random.chance(0.5))
  if (kind === 7) return Array.from({ length: random.below(4) }, () => json(random, depth - 1))
  if (kind >= 5) return object(random, () => json(random, depth - 1))
  return random.pick([true, 1, -0.5, 1e300, 'red', text(random), random.pick(HALVES), '', false, {}, []])
}

/** Keys in an order of their own, not sorted, some of which JavaScript moves to the front. */
function object(random, value) {
  const chosen = random.shuffled(['z', 'a', 'm', 'é', '10', '2', '']).slice(0, random.below(5))
  return Object.fromEntries(chosen.map((name) => [name, value()]))
}

function deep(levels, arrays) {
  let value = 1
  for (let level = 0; level < levels; level += 1) value = arrays ? [value] : { d: value }
  return value
}

/** As `anything`, for a list: Yjs takes neither undefined nor big integers there, unless they are in something. */
export function listed(random, depth) {
  const value = anything(random, depth)
  return value === undefined || typeof value === 'bigint' ? [value] : value
}

/** A value for a Y.Map: plain or binary, a shared type with something in it, or a subdocument. */
export function anything(random, depth = 2) {
  const kind = random.below(depth === 0 ? 12 : 20)
  if (kind < 10) return plain(random)
  if (kind < 12) return random.bytes(random.below(40))
  switch (kind) {
    case 12:
    case 13:
      return new Y.Map([[key(random), anything(random, depth - 1)]])
    case 14:
    case 15:
      return Y.Array.from([listed(random, depth - 1), listed(random, 0)])
    case 16:
    case 17:
      return new Y.Text(text(random))
    case 18:
      return element(random)
    default:
      return subdocument(random)
  }
}

/** Options are those that travel: gc, autoLoad and meta. The guid is given, as Yjs would draw one at random. */
function subdocument(random) {
  return new Y.Doc({
    guid: `sub-${random.bits()}`,
    gc: random.chance(0.5),
    autoLoad: random.chance(0.3),
    meta: random.chance(0.3) ? plain(random) : null,
  })
}

/** A node for an XML fragment or element. */
export function node(random) {
  switch (random.below(6)) {
    case 0:
    case 1:
      return new Y.XmlText(text(random))
    case 2: {
      const hook = new Y.XmlHook(random.pick(['video', 'é hook']))
      hook.set('src', plain(random))
      return hook
    }
    default:
      return element(random)
  }
}

function element(random) {
  const made = new Y.XmlElement(random.pick(['p', 'h1', 'UPPER', 'é']))
  if (random.chance(0.5)) made.setAttribute('id', random.pick(['1', text(random), plain(random)]))
  if (random.chance(0.6)) made.insert(0, [new Y.XmlText(text(random))])
  return made
}
