// Contents of items, good and bad, of all kinds, and numbers that no item should have.

import { any, KIND, varString, varUint } from './wire.mjs'

/** Numbers at which decoders, 32 bits, doubles and loops end. */
const SMALL = [0, 1, 2, 127, 128, 255, 1e4]
const LARGE = [2 ** 24, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 40, 2 ** 53 - 2, 2 ** 53 - 1]
export const NUMBERS = [...SMALL, ...LARGE]

const text = (value) => varString(value)
const joined = (...parts) => Buffer.concat(parts)
const one = (kind, value) => ({ kind, length: 1, values: [value] })

/** Each gives `kind`, `length` and `values` of an item. */
export const CONTENTS = [
  (random) => ({ kind: KIND.deleted, length: random.pick([0, 1, 5, random.pick(NUMBERS)]), values: [] }),
  () => ({ kind: KIND.json, length: 2, values: [text('{"a":1}'), text('undefined')] }),
  (random) => one(KIND.json, text(random.pick(['', '{', 'NaN', '[1,]', '"\\ud800"', '['.repeat(20_000)]))),
  (random) => one(KIND.binary, joined(varUint(3), random.bytes(3))),
  (random) => ({ kind: KIND.string, length: 1, values: [text(random.pick(['x', '', '😀', '\0']))] }),
  () => ({ kind: KIND.string, length: 1, values: [Uint8Array.from([3, 0xed, 0xa0, 0x80])] }),
  () => ({ kind: KIND.string, length: 1, values: [Uint8Array.from([2, 0xff, 0x61])] }),
  (random) =>
    one(KIND.embed, text(random.pick(['{"e":1}', 'null', '1', '', '{', 'undefined', '{"__proto__":{"p":1}}']))),
  (random) => one(KIND.format, joined(text('bold'), text(random.pick(['true', 'null', '', '{'])))),
  (random) => one(KIND.type, varUint(random.pick([0, 1, 2, 4, 6, 7, 15, 100, 2 ** 31]))),
  (random) => one(KIND.type, joined(varUint(random.pick([3, 5])), text(random.pick(['p', '', '__proto__'])))),
  (random) => one(KIND.any, any(random.pick([1, 'x', {}, [], undefined, 1n]))),
  () => one(KIND.any, any(JSON.parse('{"__proto__":{"p":1}}'))),
  (random) => one(KIND.any, Uint8Array.from([random.below(256), random.below(4)])),
  (random) =>
    one(KIND.any, Buffer.concat([Buffer.alloc(2 * random.pick([50, 300, 20_000]), Uint8Array.from([117, 1])), any(1)])),
  (random) =>
    one(
      KIND.doc,
      joined(
        text('guid'),
        any(random.pick([{}, null, undefined, 5, 'abc', [], { guid: null, gc: 1 }, { shouldLoad: true }])),
      ),
    ),
]
